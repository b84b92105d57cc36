// How long questions waited for their answers, from nothing but how many of both there have been so far.

/**
 * @typedef {object} Answers
 * @property {number} asked
 * @property {number} answered
 * @property {number} greatestMs the longest wait, as if answers came in the order of the questions; what is still waiting counts as far
 * as it has waited
 */

/** Questions that were never answered before the first look are forgotten; one after it makes later ones look late by one question. */
export class AnswerWatch {
  /** Totals of questions by the time at which they were reached, those that wait. @type {{timeMs: number, asked: number}[]} */
  #waiting = [];
  /** @type {{asked: number, answered: number} | undefined} */
  #first;
  #asked = 0;
  #answered = 0;
  #greatestMs = 0;

  /**
   * @param {number} timeMs of this look, not before the last one
   * @param {number} asked in total
   * @param {number} answered in total
   */
  look(timeMs, asked, answered) {
    this.#first ??= { asked, answered };
    const newlyAsked = asked - this.#first.asked;
    this.#answered = answered - this.#first.answered;
    if (newlyAsked > this.#asked) this.#waiting.push({ timeMs, asked: newlyAsked });
    this.#asked = newlyAsked;
    while ((this.#waiting[0]?.asked ?? Number.POSITIVE_INFINITY) <= this.#answered) this.#take(timeMs);
  }

  /**
   * @param {number} timeMs of the last look
   * @returns {Answers}
   */
  answers(timeMs) {
    const waits = timeMs - (this.#waiting[0]?.timeMs ?? timeMs);
    return {
      asked: this.#asked,
      answered: this.#answered,
      greatestMs: Math.max(this.#greatestMs, waits),
    };
  }

  /** @param {number} timeMs */
  #take(timeMs) {
    const oldest = this.#waiting.shift();
    if (oldest !== undefined) this.#greatestMs = Math.max(this.#greatestMs, timeMs - oldest.timeMs);
  }
}
