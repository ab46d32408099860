//! TLS to a receiver: who it has to be, and who we say we are.
//!
//! All sinks that use the network share it. TLS 1.2 and 1.3, by rustls with ring. The files are
//! read at the first connection and again when one of them has changed, so a renewed certificate
//! needs no restart.
//!
//! Invariant: unless `insecure` is set, no byte of an event leaves before the receiver has proved
//! that it holds the key of a certificate that the configuration trusts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;
use std::{fs, io};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    ProtocolVersion, RootCertStore, SignatureScheme,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::units::{Period, Timestamp};

/// With TLS 1.3 the receiver judges our certificate when the handshake is over for us: this long is
/// waited for a sign that it did.
const VERDICT_LIMIT: Period = Period::from_secs(1);

/// `[sink.tls]`: whom to believe, and who we are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The authorities that may vouch for the receiver, as PEM. Default: those of the system.
    pub ca_file: Option<PathBuf>,

    /// Our own certificate and those between it and its root, as PEM.
    pub cert_file: Option<PathBuf>,

    /// The private key of our certificate, as PEM.
    pub key_file: Option<PathBuf>,

    /// The name in the receiver's certificate, where it is not the one in the address.
    pub server_name: Option<String>,

    /// How the receiver is known: `full` or `fingerprint`.
    pub verify: Verify,

    /// The receiver's certificates, such as `sha-256:AB:CD:…` (RFC 5425, section 4.2.2).
    pub fingerprints: Vec<Fingerprint>,

    /// Believe anybody. Whoever stands in between can read and change the events.
    pub insecure: bool,
}

/// How a receiver is known.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// An authority vouches for its name.
    #[default]
    Full,
    /// Its certificate is in the list.
    Fingerprint,
}

impl TlsConfig {
    /// What is wrong with the settings: the key and the reason with its fix.
    pub fn complaint(&self) -> Option<(&'static str, &'static str)> {
        let pinned = self.verify == Verify::Fingerprint;
        let name = self.server_name.as_ref();
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Some(("cert_file", "a certificate needs its key; write both files"));
        }
        if pinned && self.fingerprints.is_empty() {
            return Some(("fingerprints", "`verify = \"fingerprint\"` needs at least one"));
        }
        if !pinned && !self.fingerprints.is_empty() {
            return Some(("fingerprints", "they are used with `verify = \"fingerprint\"` only"));
        }
        if self.insecure && (pinned || self.ca_file.is_some()) {
            return Some((
                "insecure",
                "it believes anybody; take it out, or what is to be believed",
            ));
        }
        if name.is_some_and(|name| ServerName::try_from(name.as_str()).is_err()) {
            return Some(("server_name", "it is neither a host name nor an address"));
        }
        None
    }
}

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha-256")?;
        self.0.iter().try_for_each(|byte| write!(f, ":{byte:02X}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is no fingerprint; write `sha-256:` and 32 pairs of hexadecimal digits between colons"
)]
pub struct FingerprintError(String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let error = || FingerprintError(text.to_owned());
        let (kind, digits) = text.split_once(':').ok_or_else(error)?;
        let pair = |pair: &str| match pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit())
        {
            true => u8::from_str_radix(pair, 16).ok(),
            false => None,
        };
        let bytes: Option<Vec<u8>> = digits.split(':').map(pair).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match kind.eq_ignore_ascii_case("sha-256") {
            true => bytes.map(Self).ok_or_else(error),
            false => Err(error()),
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

/// Why there is no TLS connection, and what helps.
#[derive(Debug, thiserror::Error)]
#[error("{reason}; {fix}")]
pub struct TlsError {
    reason: String,
    fix: &'static str,
}

impl TlsError {
    fn new(reason: String, fix: &'static str) -> Self {
        Self { reason, fix }
    }
}

/// Opens TLS connections as `[sink.tls]` describes them.
#[derive(Debug)]
pub(super) struct TlsClient {
    config: TlsConfig,
    /// What is to be spoken inside (ALPN); nothing is offered where it is empty.
    protocol: &'static [u8],
    built: Option<(Stamps, Arc<ClientConfig>)>,
}

/// When each file changed last, and its size.
type Stamps = [Option<(SystemTime, u64)>; 3];

impl TlsClient {
    /// A client; no file is read yet. Warns where nobody is asked for a proof.
    pub(super) fn new(config: &TlsConfig, sink: &str) -> Self {
        if config.insecure {
            tracing::warn!(
                sink,
                "tls.insecure: the receiver is not asked who it is; whoever stands in between can \
                 read and change the events"
            );
        }
        Self { config: config.clone(), protocol: b"", built: None }
    }

    /// The same, and the receiver is told what will be spoken.
    #[must_use]
    pub(super) fn speaking(mut self, protocol: &'static [u8]) -> Self {
        self.protocol = protocol;
        self
    }

    /// Makes `stream` a TLS connection to `host`, and waits until the receiver has judged us. Not
    /// for protocols in which the receiver speaks first.
    pub(super) async fn connect<S>(&mut self, host: &str, stream: S) -> Result<TlsStream<S>, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = self.handshake(host, stream).await?;
        verdict(&mut stream).await.map_err(broken)?;
        Ok(stream)
    }

    /// Makes `stream` a TLS connection to `host`. Whether the receiver believes us may show later.
    pub(super) async fn handshake<S>(
        &mut self,
        host: &str,
        stream: S,
    ) -> Result<TlsStream<S>, Broken>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.config.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let fix = "write its name into `tls.server_name`";
            TlsError::new(format!("`{host}` is no name that a certificate can have"), fix)
        })?;
        let connector = TlsConnector::from(self.config()?);
        connector.connect(name, stream).await.map_err(broken)
    }

    /// The configuration of rustls, made anew when a file has changed.
    fn config(&mut self) -> Result<Arc<ClientConfig>, TlsError> {
        let config = &self.config;
        let files = [&config.ca_file, &config.cert_file, &config.key_file];
        let stamps = files.map(|file| stamp(file.as_deref()));
        if let Some((built, client)) = &self.built
            && *built == stamps
        {
            return Ok(Arc::clone(client));
        }
        let mut client = build(config)?;
        if !self.protocol.is_empty() {
            client.alpn_protocols = vec![self.protocol.to_vec()];
        }
        let client = Arc::new(client);
        self.built = Some((stamps, Arc::clone(&client)));
        Ok(client)
    }
}

fn stamp(file: Option<&Path>) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(file?).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl TlsConfig {
    /// Reads the files as a connection would, and says what is wrong with them.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), TlsError> {
        build(self)?;
        let Some(file) = &self.cert_file else { return Ok(()) };
        let own = certificates(file, CERT_FIX)?;
        let now = i64::try_from(now.ms() / 1000).unwrap_or(i64::MAX);
        let expired = own.first().and_then(expiry).filter(|end| end.as_second() < now);
        match expired {
            Some(end) => {
                let reason = format!("the certificate in {} expired at {end}", file.display());
                Err(TlsError::new(reason, "renew it"))
            }
            None => Ok(()),
        }
    }
}

/// When a certificate ends (RFC 5280, section 4.1): the second time of its fifth or sixth member,
/// behind version, serial number, algorithm and issuer. `None` if it is not to be read so.
fn expiry(certificate: &CertificateDer<'_>) -> Option<jiff::Timestamp> {
    let (_, whole, _) = member(certificate)?;
    let (_, mut body, _) = member(whole)?;
    if member(body)?.0 == 0xa0 {
        body = member(body)?.2;
    }
    for _ in 0..3 {
        body = member(body)?.2;
    }
    let (_, validity, _) = member(body)?;
    let (kind, end, _) = member(member(validity)?.2)?;
    let text = std::str::from_utf8(end).ok()?;
    let text = match kind {
        // Two digits of the year mean 1950 to 2049.
        0x17 if text < "50" => format!("20{text}"),
        0x17 => format!("19{text}"),
        _ => text.to_owned(),
    };
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// The first member of `bytes` in DER: its tag, what is in it, and what stands behind it.
fn member(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (inner, rest) = rest.split_at_checked(length)?;
    Some((tag, inner, rest))
}

const CA_FIX: &str = "write the authority's certificate as PEM into `tls.ca_file`, and let the user \
                      that runs gatewatch read it";
const CERT_FIX: &str = "write the certificate and those between it and its root, as PEM, into \
                        `tls.cert_file`, and let the user that runs gatewatch read it";
const KEY_FIX: &str = "write the private key of the certificate, as PEM, into `tls.key_file`, and \
                       let only the user that runs gatewatch read it";

fn build(config: &TlsConfig) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(error.to_string(), "this is a mistake of gatewatch"))?;
    let builder = if config.insecure || config.verify == Verify::Fingerprint {
        let accepted = (!config.insecure).then(|| config.fingerprints.clone());
        let pinned = Pinned { accepted, algorithms };
        versions.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
    } else {
        versions.with_root_certificates(roots(config.ca_file.as_deref())?)
    };
    let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(cert, CERT_FIX)?;
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.map_err(|error| unusable(key, &pem_words(&error), KEY_FIX))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let (cert, key) = (cert.display(), key.display());
            let reason = format!("the key in {key} does not belong to the certificate in {cert}");
            TlsError::new(reason, "write the two that were made together")
        }
        error => unusable(key, &error, KEY_FIX),
    })
}

/// The authorities of `file`, or those that the system trusts.
fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file, CA_FIX)? {
            roots.add(certificate).map_err(|error| unusable(file, &error, CA_FIX))?;
        }
        return Ok(roots);
    }
    // One that cannot be read is one that cannot vouch; the others can.
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        let reason = "this system has no certificate authorities".to_owned();
        return Err(TlsError::new(reason, "install ca-certificates, or write `tls.ca_file`"));
    }
    Ok(roots)
}

fn certificates(path: &Path, fix: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|error| unusable(path, &pem_words(&error), fix))?;
    match found.is_empty() {
        true => Err(unusable(path, &pem_words(&pem::Error::NoItemsFound), fix)),
        false => Ok(found),
    }
}

fn pem_words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        error => error.to_string(),
    }
}

fn unusable(file: &Path, reason: &dyn fmt::Display, fix: &'static str) -> TlsError {
    TlsError::new(format!("cannot use {}: {reason}", file.display()), fix)
}

/// Believes certificates by their fingerprint, or any of them. The proof that the receiver holds
/// the key is asked for in both cases.
#[derive(Debug)]
struct Pinned {
    accepted: Option<Vec<Fingerprint>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate that is not in the list.
#[derive(Debug, thiserror::Error)]
#[error("its certificate is {0}")]
struct Stranger(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(end_entity);
        match &self.accepted {
            Some(accepted) if !accepted.contains(&found) => {
                Err(CertificateError::Other(OtherError(Arc::new(Stranger(found)))).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Waits until the receiver has taken or refused what we are. A ticket says that it has taken it;
/// a receiver that sends none is believed after [`VERDICT_LIMIT`]. TLS 1.2 has told it already.
async fn verdict<S>(stream: &mut TlsStream<S>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return Ok(());
    }
    let mut scratch = [0; 64];
    let told = std::future::poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            Poll::Pending if stream.get_ref().1.tls13_tickets_received() == 0 => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    });
    timeout(VERDICT_LIMIT.duration(), told).await.unwrap_or(Ok(()))
}

/// A handshake that came to nothing.
#[derive(Debug)]
pub(super) enum Broken {
    /// TLS itself says why.
    Tls(TlsError),
    /// The network does.
    Network(io::Error),
}

impl From<TlsError> for Broken {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// Sorts an error of a TLS connection; those of TLS get words with a way out.
pub(super) fn broken(error: io::Error) -> Broken {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(inner) => Broken::Tls(in_words(inner)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Broken::Tls(TlsError::new(
            "it ended the connection during the handshake".to_owned(),
            "look into its own log: it may want another certificate, or not speak TLS",
        )),
        None => Broken::Network(error),
    }
}

fn in_words(error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_in_words(error),
        rustls::Error::AlertReceived(alert) => alert_in_words(*alert),
        rustls::Error::InvalidMessage(_) => {
            TlsError::new("it does not speak TLS on this port".to_owned(), "check the port")
        }
        error => TlsError::new(error.to_string(), "ask the operator of the receiver"),
    }
}

fn certificate_in_words(error: &CertificateError) -> TlsError {
    use CertificateError as E;
    let (reason, fix) = match error {
        E::Expired | E::ExpiredContext { .. } => (
            "its certificate has expired".to_owned(),
            "renew it there, or set this machine's clock",
        ),
        E::NotValidYet | E::NotValidYetContext { .. } => (
            "its certificate is not valid yet".to_owned(),
            "set the clock of this machine or of the receiver",
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => (
            error.to_string(),
            "write the name that the certificate is for into `tls.server_name`, if it is the right \
             machine",
        ),
        E::UnknownIssuer | E::BadSignature => (
            "nobody who is trusted signed its certificate".to_owned(),
            "name the authority's PEM file in `tls.ca_file`, or the certificate in \
             `tls.fingerprints`",
        ),
        E::Other(OtherError(other)) if other.is::<Stranger>() => (
            other.to_string(),
            "write that into `tls.fingerprints`, if the receiver's operator confirms it",
        ),
        error => (
            format!("its certificate cannot be believed: {error}"),
            "renew it there, or name it in `tls.fingerprints` with `verify = \"fingerprint\"`",
        ),
    };
    TlsError::new(reason, fix)
}

fn alert_in_words(alert: AlertDescription) -> TlsError {
    use AlertDescription as A;
    let (reason, fix) = match alert {
        A::CertificateRequired | A::NoCertificate => (
            "it wants a certificate from us".to_owned(),
            "write `tls.cert_file` and `tls.key_file`",
        ),
        A::CertificateExpired => (
            "it refused our certificate, which has expired for it".to_owned(),
            "renew the one in `tls.cert_file`",
        ),
        A::UnknownCA
        | A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateUnknown
        | A::DecryptError
        | A::AccessDenied => (
            format!("it refused our certificate ({alert:?})"),
            "let its operator trust the authority that signed the one in `tls.cert_file`",
        ),
        A::HandshakeFailure => (
            "it refused the handshake".to_owned(),
            "it may want a certificate (`tls.cert_file`), or offer nothing that is safe today",
        ),
        A::ProtocolVersion => {
            ("it speaks neither TLS 1.2 nor 1.3".to_owned(), "bring the receiver up to date")
        }
        A::UnrecognisedName => (
            "it does not know the name it was called by".to_owned(),
            "write its name into `tls.server_name`",
        ),
        alert => (format!("it ended TLS ({alert:?})"), "look into its own log"),
    };
    TlsError::new(reason, fix)
}
