//! The HTTP client under every call: TLS by rustls with ring, the system's certificates, the usual proxy variables.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::error::{Error, Result};
use crate::fsio;

/// No file of certificates is larger.
const MAX_BUNDLE: u64 = 16 << 20;

/// A client that keeps its connections. It trusts what the system trusts (`SSL_CERT_FILE`, `SSL_CERT_DIR`) and, as the
/// AWS command line does, only the certificates of `AWS_CA_BUNDLE` when that is set.
pub(super) fn client() -> Result<SharedHttpClient> {
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
            // A file that holds none would make the TLS library panic when it is first used.
            if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
                return Err(Error::failed(format!("AWS_CA_BUNDLE: `{}` holds no certificate", path.display()))
                    .hint("it has to be in PEM form: `-----BEGIN CERTIFICATE-----` …"));
            }
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    let tls = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|e| Error::failed("Failed to set up TLS").because(e))?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    }))
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
