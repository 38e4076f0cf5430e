/// What Swift cannot see of OpenSSL 3.0: function-like macros and variadic functions, as functions.
/// No logic lives here.
#ifndef SWARM_COPENSSL_SHIM_H
#define SWARM_COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <sys/time.h>

static inline int swarm_SSL_CTX_set_dtls12_only(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION) == 1;
}

static inline void swarm_SSL_CTX_set_session_cache_off(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static inline int swarm_SSL_CTX_set1_groups_list(SSL_CTX *context, const char *list) {
    return (int)SSL_CTX_set1_groups_list(context, list);
}

static inline int swarm_SSL_CTX_set_max_send_fragment(SSL_CTX *context, long size) {
    return (int)SSL_CTX_set_max_send_fragment(context, size);
}

/// No renegotiation, tickets or compression, and the MTU is ours to say.
static inline void swarm_SSL_CTX_set_dtls_options(SSL_CTX *context) {
    SSL_CTX_set_options(context,
                        SSL_OP_NO_QUERY_MTU | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
}

static inline void swarm_SSL_CTX_set_max_cert_list(SSL_CTX *context, long size) {
    SSL_CTX_set_max_cert_list(context, size);
}

static inline EVP_PKEY *swarm_EVP_EC_gen_p256(void) { return EVP_EC_gen("P-256"); }

static inline int swarm_DTLS_set_link_mtu(SSL *ssl, long mtu) { return (int)DTLS_set_link_mtu(ssl, mtu); }

/// Microseconds until OpenSSL wants to retransmit, or -1 when nothing is outstanding.
static inline int64_t swarm_DTLSv1_get_timeout(SSL *ssl) {
    struct timeval left;
    if (DTLSv1_get_timeout(ssl, &left) != 1) return -1;
    return (int64_t)left.tv_sec * 1000000 + (int64_t)left.tv_usec;
}

static inline int swarm_DTLSv1_handle_timeout(SSL *ssl) { return (int)DTLSv1_handle_timeout(ssl); }

static inline int swarm_BIO_TYPE_SOURCE_SINK(void) { return BIO_TYPE_SOURCE_SINK; }

static inline void swarm_BIO_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }

static inline void swarm_BIO_clear_retry_flags(BIO *bio) { BIO_clear_retry_flags(bio); }

#endif
