//! TLS of a listener: its certificate, and whose certificates it asks for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::endpoint::TlsFiles;

/// A file that TLS needs cannot be used.
#[derive(Debug)]
pub(super) struct TlsError {
    file: PathBuf,
    reason: String,
    fix: &'static str,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use {}: {}; {}", self.file.display(), self.reason, self.fix)
    }
}

const CERT_FIX: &str = "write the certificate and those between it and its root, as PEM, and let the \
                        user that runs gatewatch read it";
const KEY_FIX: &str = "write the private key of the certificate, as PEM, and let only the user that \
                       runs gatewatch read it";
const CA_FIX: &str = "write the authority's certificate as PEM";

/// Reads the files, and makes of them what accepts connections: TLS 1.2 and 1.3, by ring.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&files.cert, CERT_FIX)?;
    let key = PrivateKeyDer::from_pem_file(&files.key);
    let key = key.map_err(|error| bad_pem(&files.key, &error, KEY_FIX))?;
    let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.cert, &error, CERT_FIX))?;
    let builder = match &files.client_ca {
        None => versions.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, CA_FIX)? {
                roots.add(certificate).map_err(|error| unusable(path, &error, CA_FIX))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            versions.with_client_cert_verifier(
                verifier.map_err(|error| unusable(path, &error, CA_FIX))?,
            )
        }
    };
    let config = builder.with_single_cert(chain, key);
    let config = config.map_err(|error| unusable(&files.key, &error, KEY_FIX))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path, fix: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|error| bad_pem(path, &error, fix))?;
    if found.is_empty() {
        return Err(bad_pem(path, &pem::Error::NoItemsFound, fix));
    }
    Ok(found)
}

fn bad_pem(file: &Path, error: &pem::Error, fix: &'static str) -> TlsError {
    let reason = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        error => error.to_string(),
    };
    TlsError { file: file.to_owned(), reason, fix }
}

fn unusable(file: &Path, error: &dyn fmt::Display, fix: &'static str) -> TlsError {
    TlsError { file: file.to_owned(), reason: error.to_string(), fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_file_is_named_with_what_it_should_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["logs.example.org".to_owned()]);
        let made = made.expect("a certificate");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let cert = write("cert.pem", &made.cert.pem());
        let key = write("key.pem", &made.signing_key.serialize_pem());
        let empty = write("empty.pem", "");
        let files = |cert: &PathBuf, key: &PathBuf, client_ca: Option<&PathBuf>| TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: client_ca.cloned(),
        };
        assert!(acceptor(&files(&cert, &key, None)).is_ok());
        assert!(acceptor(&files(&cert, &key, Some(&cert))).is_ok());
        for (files, expected) in [
            (files(&folder.path().join("no.pem"), &key, None), "no.pem: No such file"),
            (files(&empty, &key, None), "empty.pem: there is none in it; write the certificate"),
            (files(&cert, &cert, None), "cert.pem: there is none in it; write the private key"),
            (files(&cert, &key, Some(&key)), "key.pem: there is none in it; write the authority"),
        ] {
            let error = acceptor(&files).err().expect("it cannot be used").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
