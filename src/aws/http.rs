//! The HTTP client under every call: TLS by rustls with ring, the system's certificates, the usual proxy variables.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::{Error, Result};
use crate::fsio;

/// No file of certificates is larger.
const MAX_BUNDLE: u64 = 16 << 20;

/// A client that keeps its connections. It trusts what the system trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and, as the
/// AWS command line does, only the certificates of `AWS_CA_BUNDLE` when that is set.
pub(super) fn client() -> Result<SharedHttpClient> {
    let tls = tls()?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    }))
}

/// The same for requests that are not AWS's own, such as those to a registry. It follows no redirect, and waits without end.
pub(crate) fn connector() -> Result<Connector> {
    let builder = Connector::builder().proxy_config(ProxyConfig::from_env());
    Ok(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls()?).build())
}

fn tls() -> Result<TlsContext> {
    let trusted = match std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) {
        None => {
            if rustls_native_certs::load_native_certs().certs.is_empty() {
                return Err(Error::failed("the system has no certificates to trust")
                    .hint("install `ca-certificates`, or name a file of them with SSL_CERT_FILE or AWS_CA_BUNDLE"));
            }
            TrustStore::default()
        }
        Some(path) => {
            let pem = fsio::read_bounded(path.as_ref(), MAX_BUNDLE)
                .map_err(|e| e.hint("AWS_CA_BUNDLE names the certificates to trust"))?;
            check(&pem).map_err(|why| {
                Error::failed(format!("AWS_CA_BUNDLE: `{}` {why}", path.display()))
                    .hint("it has to hold certificates in PEM form: `-----BEGIN CERTIFICATE-----` …")
            })?;
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|e| Error::failed("Failed to set up TLS").because(e))
}

/// Whether each certificate can be read, and there is one: the TLS library panics otherwise, when it is first used.
fn check(pem: &[u8]) -> Result<(), String> {
    let mut store = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("cannot be read: {e}"))?;
        store.add(certificate).map_err(|e| format!("holds a certificate that cannot be used: {e}"))?;
    }
    if store.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(()) }
}
