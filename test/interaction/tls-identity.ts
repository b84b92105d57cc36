// Made-up identities for tests of TLS, self-signed, valid for 100 years. Their private keys protect nothing: whoever reads this
// has them.
//
//   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 \
//     -subj '/CN=hawser test device' -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout key.pem -out certificate.pem

/** One end of a TLS connection, and what the other end is to trust. */
export interface TlsIdentity {
  readonly key: string;
  readonly cert: string;
}

/** What servers are here: `localhost` and 127.0.0.1. */
export const device: TlsIdentity = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3Q5nJR25+q34feRW
DoEsXXD8VqsijDAILjVS2swVdcChRANCAATVWGk3Q6+hKIIdxsl0rtfwEG1eZqjy
y8EJ8mhAkUexDyhEjEY3Rt49WziRs8SCIi+pEc7OSvmiB9aMBfoOtX35
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBrjCCAVOgAwIBAgIUVEBIduFmNoMPc3yFKk58mg9wUMcwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSaGF3c2VyIHRlc3QgZGV2aWNlMCAXDTI2MTEyMjE3MTEzNFoY
DzIxMjYxMDI5MTcxMTM0WjAdMRswGQYDVQQDDBJoYXdzZXIgdGVzdCBkZXZpY2Uw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATVWGk3Q6+hKIIdxsl0rtfwEG1eZqjy
y8EJ8mhAkUexDyhEjEY3Rt49WziRs8SCIi+pEc7OSvmiB9aMBfoOtX35o28wbTAd
BgNVHQ4EFgQU5i0luYjgH0MucU15OnF5Z0SdtTwwHwYDVR0jBBgwFoAU5i0luYjg
H0MucU15OnF5Z0SdtTwwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2Nh
bGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSQAwRgIhAIWS6zcB+jfsj+w1jie9iIvc
bfVZnCsLKO7IwiBTdlSLAiEA1UQnIg/Oh+IWmMnkRzJryc7/Cdwl2ONZ/CwY15Ai
Z3w=
-----END CERTIFICATE-----
`,
};

/** What clients are that have a certificate, and servers that nobody trusts. */
export const controller: TlsIdentity = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQghQUrHZnZ3FZXJUt6
hKpitW9T0i8syCj5mLZQ/9pAtuKhRANCAARL7rfDQFuo5lWeAubDhej5cyH1Z9/r
UK7ZnRRDFj8xNFHv15tQtOzf0CT8tfycHqGweyJ+Zq6UWGbO2+wGBJ1T
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBtTCCAVugAwIBAgIUPJw7zCohk/yWVyt4XEmda/9lQJQwCgYIKoZIzj0EAwIw
ITEfMB0GA1UEAwwWaGF3c2VyIHRlc3QgY29udHJvbGxlcjAgFw0yNjExMjIxNzEx
MzRaGA8yMTI2MTAyOTE3MTEzNFowITEfMB0GA1UEAwwWaGF3c2VyIHRlc3QgY29u
dHJvbGxlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEvut8NAW6jmVZ4C5sOF
6PlzIfVn3+tQrtmdFEMWPzE0Ue/Xm1C07N/QJPy1/JweobB7In5mrpRYZs7b7AYE
nVOjbzBtMB0GA1UdDgQWBBSm+HRINoHZu+q8UVjte/bK9MiHaTAfBgNVHSMEGDAW
gBSm+HRINoHZu+q8UVjte/bK9MiHaTAPBgNVHRMBAf8EBTADAQH/MBoGA1UdEQQT
MBGCCWxvY2FsaG9zdIcEfwAAATAKBggqhkjOPQQDAgNIADBFAiBX6krGjFsNthj9
rW0MkGjsvyil22KQoEH220Rj0QsF1gIhAJsCYVt8UuBM/5hSekVkYwx3RVS0Ixdk
QRlFJAqQ+iRW
-----END CERTIFICATE-----
`,
};
