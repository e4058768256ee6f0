/* What .NET Core 3.1 looks for in OpenSSL 1.1 by names that OpenSSL 3 no longer has. All else is found in what this is linked
   with. */
struct digest;
struct session;
struct certificate;
int EVP_MD_get_size(const struct digest *);
struct certificate *SSL_get1_peer_certificate(const struct session *);

int EVP_MD_size(const struct digest *digest) { return EVP_MD_get_size(digest); }

struct certificate *SSL_get_peer_certificate(const struct session *session) { return SSL_get1_peer_certificate(session); }

void ERR_put_error(int library, int function, int reason, const char *file, int line) {}
