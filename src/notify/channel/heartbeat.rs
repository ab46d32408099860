//! The dead-man's ping: an address is asked for as long as lines are read. A program that is dead
//! mails nothing, but whoever waits for its pings notices.
//!
//! Invariant: no ping leaves while the pipeline shows no sign of life.

use std::sync::Arc;

use super::Failure;
use super::config::{HeartbeatConfig, HeartbeatMethod};
use super::post::{Web, read_secret};
use crate::io::Clock;
use crate::sink::{Request, Url};
use crate::units::{Period, Timestamp};

/// For a ping with its answer.
const LIMIT: Period = Period::from_secs(20);

/// The pings.
pub struct Heartbeat {
    config: HeartbeatConfig,
    clock: Arc<dyn Clock>,
    web: Web,
}

impl Heartbeat {
    /// Asks nobody yet; none where there is no address.
    pub fn new(config: &HeartbeatConfig, clock: Arc<dyn Clock>) -> Option<Self> {
        let web = Web::new(&config.tls, LIMIT, "heartbeat");
        config.is_enabled().then(|| Self { config: config.clone(), clock, web })
    }

    /// Pings while `is_alive` says that lines are read, until `shutdown`; `tell` hears why one did
    /// not arrive, or nothing where it did.
    pub async fn run(
        mut self,
        is_alive: impl Fn(Timestamp) -> bool,
        tell: impl Fn(Option<&str>),
        shutdown: impl Future<Output = ()>,
    ) {
        tokio::pin!(shutdown);
        loop {
            if is_alive(self.clock.now()) {
                let pinged = tokio::select! {
                    () = &mut shutdown => return,
                    pinged = self.ping() => pinged,
                };
                match pinged {
                    Ok(()) => tell(None),
                    Err(failure) => tell(Some(failure.words())),
                }
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(self.config.every.duration()) => (),
            }
        }
    }

    async fn ping(&mut self) -> Result<(), Failure> {
        let text = match (&self.config.url, &self.config.url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => read_secret(file)?,
            (None, None) => String::new(),
        };
        let url = Url::with_secret_path(&text)
            .map_err(|error| Failure::Blocked { words: error.to_string() })?;
        let path = if url.path.is_empty() { "/".to_owned() } else { url.path.clone() };
        let request = match self.config.method {
            HeartbeatMethod::Get => Request::get(path),
            HeartbeatMethod::Post => Request::new(path, "text/plain", Vec::new()),
        };
        self.web.ask(&url, None, request, self.clock.now()).await.map(drop)
    }
}
