//! TLS towards clients: a certificate and its key, read from files at the start and again when
//! the program is told to. HTTP/1.1 is all that is offered.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Why a certificate cannot be used. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read, or is no PEM file of this kind.
    #[error("{} holds no {what} that can be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The two do not belong together, or the key is of a kind that is not supported.
    #[error("{} and {} cannot be used together", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
}

/// The certificate in use.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate chain and its key.
    ///
    /// # Errors
    ///
    /// When they cannot be read or do not belong together.
    pub(crate) fn open(cert: &Path, key: &Path) -> Result<Self, Error> {
        let current = ArcSwap::from(read(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current })
    }

    /// Reads them again, for connections from now on.
    ///
    /// # Errors
    ///
    /// When they cannot be used; the last good ones stay.
    pub(super) fn reload(&self) -> Result<(), Error> {
        self.current.store(read(&self.cert, &self.key)?);
        Ok(())
    }

    /// What makes a connection a private one.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

/// Why clients refuse the certificates of a file at a time, seconds since the Unix epoch, whoever
/// has issued them; `None` when their dates are in order.
pub(crate) fn out_of_date(cert: &Path, now: u64) -> Option<&'static str> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let chain = CertificateDer::pem_file_iter(cert).into_iter().flatten().flatten();
    chain.into_iter().find_map(|it| {
        let certificate = ParsedCertificate::try_from(&it).ok()?;
        // The dates are judged before the issuer, whom nobody is trusted to be here.
        let (nobody, others, kinds) = (RootCertStore::empty(), &[], &[]);
        let judged =
            verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, others, now, kinds);
        let Err(rustls::Error::InvalidCertificate(error)) = judged else { return None };
        if let CertificateError::Expired | CertificateError::ExpiredContext { .. } = error {
            Some("has ended")
        } else if let CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } =
            error
        {
            Some("is not valid yet")
        } else {
            None
        }
    })
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let file = |path: &Path, what| {
        let path = path.to_owned();
        move |source| Error::File { path, what, source }
    };
    let pair = |source| Error::Pair { cert: cert.to_owned(), key: key.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(file(cert, "certificate"))?;
    if chain.is_empty() {
        return Err(file(cert, "certificate")(rustls::pki_types::pem::Error::NoItemsFound));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(file(key, "private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
