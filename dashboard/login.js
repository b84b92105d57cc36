// The login works without this; it says why the page is shown again.

/** @type {Readonly<Record<string, string>>} */
const reasons = {
  '?wrong': 'That is not the token.',
  '?later': 'Too many wrong tokens came from here. Wait a few seconds and try again.',
};

const why = document.getElementById('why');
const reason = reasons[location.search];
if (why !== null && reason !== undefined) {
  why.textContent = reason;
  why.hidden = false;
}
document.getElementById('token')?.focus();
