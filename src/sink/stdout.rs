//! The sink that writes lines to standard output, for whatever started the program.
//!
//! What has been written is out of our hands: a pipe holds 64 KiB that its reader may never read.
//! A thread of its own does the writing, because a reader that stops reading must not keep the
//! program from ending.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::lines::Lines;
use super::{Rendered, SinkCommon, SinkContext, SinkError};
use crate::sink::config::StdoutConfig;

/// Bytes to write, and whom to tell how that went.
type Order = (Vec<u8>, oneshot::Sender<io::Result<()>>);

/// A sink that writes to standard output.
#[derive(Debug)]
pub struct StdoutSink {
    pub(super) lines: Lines,
    writer: Option<mpsc::Sender<Order>>,
}

impl StdoutSink {
    /// A sink as `config` describes it.
    pub fn new(config: &StdoutConfig, common: &SinkCommon, context: &SinkContext) -> Self {
        Self { lines: Lines::new(config.encoding, common, context), writer: None }
    }

    /// Writes whole lines, and waits until they are written.
    pub(super) async fn send(&mut self, rendered: &Rendered) -> Result<(), SinkError> {
        let failed = |error| SinkError::file("write to", Path::new("standard output"), error);
        let mut bytes = Vec::new();
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                bytes = self.lines.header();
                start().map_err(failed)?
            }
        };
        bytes.extend_from_slice(rendered.bytes());
        let (done, written) = oneshot::channel();
        let gone = |()| io::Error::from(io::ErrorKind::BrokenPipe);
        writer.send((bytes, done)).map_err(|_| failed(gone(())))?;
        written.await.map_err(|_| failed(gone(())))?.map_err(failed)?;
        self.writer = Some(writer);
        Ok(())
    }
}

/// A thread that writes until nobody asks it to any more.
fn start() -> io::Result<mpsc::Sender<Order>> {
    let (writer, orders) = mpsc::channel::<Order>();
    std::thread::Builder::new().name("stdout".to_owned()).spawn(move || {
        for (bytes, done) in orders {
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            // Who does not listen any more has given the turn up.
            drop(done.send(written));
        }
    })?;
    Ok(writer)
}
