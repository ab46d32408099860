//! Gets a message to its receiver: by HTTP, to a program, into a file. What the answer means.
//!
//! Invariant: an attempt ends within `timeout`. Nothing that an address, a token or a key holds is
//! in a [`Failure`]'s words.

use std::path::{Path, PathBuf};

use super::config::{ChannelConfig, ChannelType};
use super::told::Matter;
use super::{Failure, Letter, Parcel, exec, file};
use crate::notify::MailContext;
use crate::sink::{Answer, Credentials, HttpClient, Request, SinkError, TlsConfig, Url, secret};
use crate::units::{Period, Timestamp};

/// One channel, ready to tell.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) config: ChannelConfig,
    /// Where systemd puts credentials.
    credentials: Option<PathBuf>,
    context: MailContext,
    web: Web,
}

impl Post {
    pub(super) fn new(
        config: &ChannelConfig,
        credentials: Option<PathBuf>,
        context: MailContext,
    ) -> Self {
        let web = Web::new(&config.tls, config.timeout, &config.name);
        Self { config: config.clone(), credentials, context, web }
    }

    /// Tells `matter`; the answer is what the receiver said, in a few words.
    pub(super) async fn send(
        &mut self,
        matter: Matter<'_>,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let credentials = self.credentials.as_deref();
        let is_http = self.config.is_http();
        let url = if is_http { Some(address(&self.config, credentials)?) } else { None };
        let parcel = self.parcel(matter, url.as_ref().map_or("", |url| &url.path), now)?;
        match (self.config.kind, &self.config.path, url) {
            (_, _, Some(url)) => {
                let token = self.config.secret_file("token", credentials);
                self.web.post(&url, token, parcel, now).await
            }
            (ChannelType::File, Some(path), _) => file::append(path, &parcel.body).await,
            _ => exec::run(&self.config.command, &parcel.body, self.config.timeout).await,
        }
    }

    fn parcel(&self, matter: Matter<'_>, path: &str, now: Timestamp) -> Result<Parcel, Failure> {
        let what = match self.config.kind {
            ChannelType::Pagerduty => "routing-key",
            _ => "secret",
        };
        let key_file = self.config.secret_file(what, self.credentials.as_deref());
        let letter = Letter { matter, context: &self.context, now, path, key_file };
        (self.config.kind.entry().render)(&letter)
    }
}

/// The address, from where it is; read each time, so that a new one needs no restart.
fn address(config: &ChannelConfig, credentials: Option<&Path>) -> Result<Url, Failure> {
    let text = match (&config.url, config.secret_file("url", credentials)) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => read_secret(&file)?,
        (None, None) => match config.kind.entry().default_url {
            Some(url) => url.to_owned(),
            None => {
                let words = missing(config, "url");
                return Err(Failure::Later { words, pause: None });
            }
        },
    };
    Url::with_secret_path(&text)
        .map_err(|error| Failure::Blocked { words: format!("its address: {error}") })
}

fn missing(config: &ChannelConfig, what: &str) -> String {
    let (key, name) = (what.replace('-', "_"), &config.name);
    format!(
        "its {what} is missing: write `{key}_file`, or hand over the systemd credential \
         `channel-{name}-{what}`"
    )
}

/// Says what is wrong with the files that a channel needs, if anything; connects to nobody.
pub(super) fn ready(
    config: &ChannelConfig,
    credentials: Option<&Path>,
    now: Timestamp,
) -> Result<(), String> {
    let words = |failure: Failure| failure.words().to_owned();
    if config.is_http() && address(config, credentials).map_err(words)?.https {
        config.tls.check(now).map_err(|error| error.to_string())?;
    }
    for what in ["token", "secret", "routing-key"] {
        match config.secret_file(what, credentials) {
            Some(file) => drop(read_secret(&file).map_err(words)?),
            None if config.kind.entry().needs_secret == Some(what) => {
                return Err(missing(config, what));
            }
            None => (),
        }
    }
    match (config.kind, config.command.first()) {
        (ChannelType::Exec, Some(program)) => exec::find(program),
        _ => Ok(()),
    }
}

pub(super) fn read_secret(file: &Path) -> Result<String, Failure> {
    secret(file).map_err(|error| Failure::Later { words: error.words(), pause: None })
}

/// HTTP to one receiver, whose address may change.
#[derive(Debug)]
pub(super) struct Web {
    tls: TlsConfig,
    limit: Period,
    name: String,
    client: Option<(Url, Option<PathBuf>, HttpClient)>,
}

impl Web {
    pub(super) fn new(tls: &TlsConfig, limit: Period, name: &str) -> Self {
        Self { tls: tls.clone(), limit, name: name.to_owned(), client: None }
    }

    async fn post(
        &mut self,
        url: &Url,
        token: Option<PathBuf>,
        parcel: Parcel,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let mut request = Request::new(parcel.path, "application/json", parcel.body);
        for (name, value) in parcel.headers {
            request = request.with(name, &value);
        }
        self.ask(url, token, request, now).await
    }

    pub(super) async fn ask(
        &mut self,
        url: &Url,
        token: Option<PathBuf>,
        request: Request,
        now: Timestamp,
    ) -> Result<String, Failure> {
        let same = |(known, file, _): &(Url, _, _)| known == url && *file == token;
        if !self.client.as_ref().is_some_and(same) {
            let credentials = match &token {
                Some(file) => Credentials::Token { scheme: "Bearer", file: file.clone() },
                None => Credentials::None,
            };
            let client = HttpClient::new(url, credentials, &self.tls, self.limit, &self.name);
            self.client = Some((url.clone(), token, client));
        }
        let (_, _, client) = self.client.as_ref().expect("made above");
        let answer = client.post(request, now).await.map_err(|error| unreached(&error))?;
        judge(&answer)
    }
}

fn unreached(error: &SinkError) -> Failure {
    Failure::Later { words: error.words(), pause: error.pause() }
}

/// What an answer means, for all receivers alike.
fn judge(answer: &Answer) -> Result<String, Failure> {
    let words = || format!("it answered {}", answer.words());
    match answer.status.as_u16() {
        200..=299 => Ok(answer.status.to_string()),
        408 | 425 | 429 | 500..=599 => Err(Failure::Later { words: words(), pause: answer.pause }),
        300..=399 => Err(Failure::Blocked {
            words: format!("{}; redirects are not followed, so correct the address", words()),
        }),
        401 | 403 | 407 => Err(Failure::Blocked {
            words: format!("{}; check the token, or the secret in its address", words()),
        }),
        404 | 405 | 410 => Err(Failure::Blocked {
            words: format!("{}; check the address, and whether it is still in use there", words()),
        }),
        _ => Err(Failure::Refused { words: words() }),
    }
}
