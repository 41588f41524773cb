//! TLS for webhooks: rustls with the certificates that this machine trusts.

use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::reasons;
use crate::alerts::Failure;

/// Secures a connection to `host`, whose certificate has to be valid for that name.
///
/// Trusted is what the system trusts, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name. It is read
/// at each try: tries are rare, and a certificate that was added counts at once.
pub(super) async fn secure(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Failure> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (trusted, _unreadable) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        return Err(Failure::lasting(
            "this machine has no certificates to trust anybody by: install ca-certificates, or \
             let SSL_CERT_FILE name some",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::lasting(reasons(&error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Failure::lasting(format!("{host}: {error}")))?;
    let connector = TlsConnector::from(Arc::new(config));
    let secured = connector.connect(name, stream).await;
    // A certificate may be renewed while we try.
    secured.map_err(|error| Failure::passing(format!("TLS: {}", reasons(&error))))
}
