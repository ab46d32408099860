//! Lines that others send: syslog over UDP, TCP, TLS and sockets of this machine, and HTTP.
//!
//! ```text
//!  sender ─▶ datagram, or stream ─▶ framing ─▶ Inbox ─▶ Parcel ─▶ the pipeline's thread
//!                         └▶ push (HTTP) ◀──── Receipt ◀── after the commit
//! ```
//!
//! What is sent is stored as it comes, one message a line; formats read it later. What cannot be
//! asked for again has no better place than the store, so nothing is held longer than it takes to
//! get there.
//!
//! Invariants:
//! * Every buffer is bounded, and when the pipeline is behind nothing more is read: senders over TCP
//!   wait, those over HTTP are told to come again, and datagrams are dropped by the kernel and
//!   counted.
//! * Only HTTP acknowledges, and only after the commit.
//! * A listener that cannot be had does not stop the others; it is tried again and says why.
//!
//! Reading order: [`endpoint`], [`framing`], [`inbox`], then `stream`, `datagram` and `push`. All of
//! it runs on one thread with a runtime of its own, so that a slow receiver of events cannot hold up
//! the taking of datagrams.

pub mod endpoint;
pub mod framing;
pub mod inbox;
pub mod status;
mod bind;
mod tls;
mod stream;
mod datagram;
mod push;

#[cfg(test)]
mod cases;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::io::Waker;
use crate::units::Period;

pub use endpoint::{Endpoint, ListenError, Transport};
pub use inbox::{Inbox, Parcel, Receipt};
pub use status::{ListenStatus, Refusal};

use bind::Bound;
use framing::Lines;
use inbox::{Closed, DATAGRAM_INBOX_BYTES, STREAM_INBOX_BYTES, Sender};
use push::Push;
use stream::{Listener, Talk};

/// Wait before an address that could not be had is tried again.
const BIND_RETRY: Period = Period::from_secs(2);

/// What is left open by senders is given this long at the end.
const END_LIMIT: Period = Period::from_secs(5);

/// The near end of a listener.
#[derive(Clone, Debug)]
pub struct Inlet {
    /// Name of the source.
    pub name: String,
    /// What was received.
    pub inbox: Arc<Inbox>,
    /// How it goes.
    pub status: Arc<ListenStatus>,
}

/// All listeners of a daemon, on a thread of their own.
#[derive(Debug)]
pub struct Listeners {
    inlets: Vec<Inlet>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the tasks of one listener share.
#[derive(Debug)]
struct Desk {
    /// Name of the source, for messages.
    name: String,
    inbox: Arc<Inbox>,
    status: Arc<ListenStatus>,
    line_bytes_max: usize,
    stop: watch::Receiver<bool>,
}

impl Desk {
    /// Waits for the word to stop; a sender that is gone means the same.
    async fn stopped(&self) {
        drop(self.stop.clone().wait_for(|stop| *stop).await);
    }

    /// Hands `lines` to the pipeline and empties them. Waits while there is no room.
    async fn put(&self, sender: Sender, lines: &mut Lines) -> Result<(), Closed> {
        self.put_with(sender, lines, None).await
    }

    async fn put_with(
        &self,
        sender: Sender,
        lines: &mut Lines,
        receipt: Option<Receipt>,
    ) -> Result<(), Closed> {
        if lines.is_empty() {
            return Ok(());
        }
        self.status.add_cut_lines(lines.cuts.len());
        self.inbox.put(sender, lines, receipt).await?;
        lines.bytes.clear();
        lines.cuts.clear();
        Ok(())
    }

    fn refuse(&self, reason: Refusal, words: &str) {
        self.status.refuse(reason);
        tracing::debug!("{}: refused: {words}", self.name);
    }
}

/// Says what is wrong with the files that an endpoint needs, if anything.
pub fn check_files(endpoint: &Endpoint) -> Result<(), String> {
    open_files(endpoint).map(drop)
}

impl Listeners {
    /// Starts to listen. `waker` is rung when lines have come.
    pub fn start(
        endpoints: Vec<(String, Endpoint)>,
        line_bytes_max: usize,
        waker: &Arc<Waker>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let mut inlets = Vec::new();
        let mut desks = Vec::new();
        for (name, endpoint) in endpoints {
            let limit_bytes = match endpoint.transport.is_datagram() {
                true => DATAGRAM_INBOX_BYTES,
                false => STREAM_INBOX_BYTES,
            };
            let inbox = Inbox::new(origin(&endpoint), limit_bytes, Arc::clone(waker));
            let inbox = Arc::new(inbox);
            let status = Arc::new(ListenStatus::default());
            let stop = stopped.clone();
            let inlet = Inlet {
                name: name.clone(),
                inbox: Arc::clone(&inbox),
                status: Arc::clone(&status),
            };
            inlets.push(inlet);
            desks.push((endpoint, Arc::new(Desk { name, inbox, status, line_bytes_max, stop })));
        }
        let thread = std::thread::Builder::new()
            .name("listen".to_owned())
            .spawn(move || runtime.block_on(run(desks)))?;
        Ok(Self { inlets, stop, thread: Some(thread) })
    }

    /// The near ends, in the order of the configuration.
    pub fn inlets(&self) -> &[Inlet] {
        &self.inlets
    }

    /// Tells all to stop: what has come already is taken, and then nothing more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// After this nothing more is put into any inbox.
    pub fn close(&self) {
        self.inlets.iter().for_each(|inlet| inlet.inbox.close());
    }

    /// Nothing more will come.
    pub fn have_ended(&self) -> bool {
        self.inlets.iter().all(|inlet| inlet.inbox.has_ended())
    }

    /// Waits until the last answers are given.
    pub fn finish(&mut self) {
        self.stop();
        self.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the listeners ended early");
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the path of a line says that came this way.
fn origin(endpoint: &Endpoint) -> String {
    match (&endpoint.place, endpoint.transport.is_push()) {
        (endpoint::Place::File(path), _) => path.display().to_string(),
        (endpoint::Place::Socket(_), true) => "http://".to_owned(),
        (endpoint::Place::Socket(_), false) => "syslog://".to_owned(),
    }
}

async fn run(desks: Vec<(Endpoint, Arc<Desk>)>) {
    let Some((_, first)) = desks.first() else { return };
    let first = Arc::clone(first);
    let mut tasks = JoinSet::new();
    for (endpoint, desk) in desks {
        tasks.spawn(async move {
            listen(&endpoint, &desk).await;
            desk.inbox.end();
        });
    }
    first.stopped().await;
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(END_LIMIT.duration(), ended).await.is_err() {
        tracing::debug!("left connections open at the end");
    }
}

/// Listens until told to stop.
async fn listen(endpoint: &Endpoint, desk: &Arc<Desk>) {
    let Some((bound, files)) = open(endpoint, desk).await else { return };
    let talk = if endpoint.transport.is_push() {
        // Its answers come after the last commit: whoever waits for the lines must not wait for it.
        let desk = Arc::clone(desk);
        tokio::spawn(async move {
            desk.stopped().await;
            desk.inbox.end();
        });
        Talk::Push(Arc::new(Push::new(&endpoint.url_path, files.token.as_deref())))
    } else {
        Talk::Syslog
    };
    match bound {
        Bound::Udp(socket) => datagram::serve(datagram::Socket::Udp(socket), desk).await,
        Bound::Unix(socket) => datagram::serve(datagram::Socket::Unix(socket), desk).await,
        Bound::Tcp(listener) => {
            stream::serve(Listener::Tcp(listener), files.tls, talk, Arc::clone(desk)).await;
        }
        Bound::UnixStream(listener) => {
            stream::serve(Listener::Unix(listener), None, talk, Arc::clone(desk)).await;
        }
    }
    bind::remove(endpoint);
}

/// What is in the files that an endpoint needs.
struct Files {
    tls: Option<TlsAcceptor>,
    token: Option<String>,
}

fn open_files(endpoint: &Endpoint) -> Result<Files, String> {
    let tls = endpoint.tls.as_ref().map(tls::acceptor).transpose();
    let tls = tls.map_err(|error| error.to_string())?;
    let token = endpoint.token_file.as_deref().map(push::read_token).transpose()?;
    Ok(Files { tls, token })
}

/// Takes the address, however often it has to be tried; nothing when told to stop before.
async fn open(endpoint: &Endpoint, desk: &Desk) -> Option<(Bound, Files)> {
    loop {
        let opened = open_files(endpoint).and_then(|files| {
            let bound = bind::bind(endpoint).map_err(|error| error.to_string())?;
            Ok((bound, files))
        });
        match opened {
            Ok(opened) => {
                desk.status.set_problem(None);
                tracing::info!("{} listens on {}", desk.name, endpoint.text);
                return Some(opened);
            }
            Err(problem) => {
                if desk.status.set_problem(Some(&problem)) {
                    tracing::error!("{}: {problem}", desk.name);
                }
            }
        }
        tokio::select! {
            () = sleep(BIND_RETRY.duration()) => (),
            () = desk.stopped() => return None,
        }
    }
}
