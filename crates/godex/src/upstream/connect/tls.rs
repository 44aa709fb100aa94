//! What TLS trusts and offers, read from the machine when the first `https` connection is made:
//! a start-up that never needs it does not pay for it.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

use super::ConnectError;

/// The TLS settings of a client. Clones share them.
#[derive(Clone)]
pub(super) struct Tls {
    roots: Arc<dyn Fn() -> RootCertStore + Send + Sync>,
    settled: Arc<OnceLock<Result<Settled, rustls::Error>>>,
}

/// One setting for each side we speak TLS with.
#[derive(Clone)]
pub(super) struct Settled {
    /// For the server itself: HTTP/2 or HTTP/1.1, as it likes.
    pub(super) server: Arc<ClientConfig>,
    /// For an `https://` proxy: `CONNECT` is spoken in HTTP/1.1.
    pub(super) proxy: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts what this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` included), or Mozilla's
    /// list on a machine without a trust store.
    pub(super) fn of_this_machine() -> Self {
        Self::new(machine_roots)
    }

    /// Trusts what `roots` gives when it is asked, which is once at most.
    pub(super) fn new(roots: impl Fn() -> RootCertStore + Send + Sync + 'static) -> Self {
        Self { roots: Arc::new(roots), settled: Arc::default() }
    }

    /// The settings, read now if nobody needed them before.
    pub(super) async fn settle(&self) -> Result<Settled, ConnectError> {
        if let Some(settled) = self.settled.get() {
            return settled.clone().map_err(|error| ConnectError::Tls(error.into()));
        }
        let (roots, cell) = (Arc::clone(&self.roots), Arc::clone(&self.settled));
        // A trust store is a file of some hundred kilobytes to read and parse.
        tokio::task::spawn_blocking(move || cell.get_or_init(|| settings(roots())).clone())
            .await
            .map_err(|error| ConnectError::Tls(error.into()))?
            .map_err(|error| ConnectError::Tls(error.into()))
    }
}

fn settings(roots: RootCertStore) -> Result<Settled, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut proxy = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    proxy.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut server = proxy.clone();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Settled { server: Arc::new(server), proxy: Arc::new(proxy) })
}

fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a part of the trust store cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no trusted certificate on this machine: using the list built in");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
