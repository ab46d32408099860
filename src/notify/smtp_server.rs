//! A mail server for tests: one thread, loopback, as obedient or as stubborn as the test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::notify::MailConfig;

/// What the server does when a line begins with a certain word; the first match counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// Says this.
    Say(&'static str),
    /// Says nothing until the client goes.
    Hang,
    /// Closes the connection.
    Close,
}

/// The word of the greeting, which no client sends.
pub(crate) const GREETING: &str = "(greeting)";
/// The word of the end of a mail.
pub(crate) const END: &str = "(end)";

/// What the server was told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Lines of the clients, but for the mails.
    pub(crate) commands: Vec<String>,
    /// Mails that were accepted.
    pub(crate) mails: Vec<String>,
    /// What it does now; may be changed while it runs.
    pub(crate) rules: Vec<(&'static str, Reply)>,
}

#[derive(Clone, Debug)]
pub(crate) struct SmtpServer {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl SmtpServer {
    /// Starts a server that does what `rules` say and is obedient otherwise. Its thread lives as
    /// long as the test's process.
    pub(crate) fn start(rules: &[(&'static str, Reply)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Seen { rules: rules.to_vec(), ..Seen::default() }));
        let server = Self { address, seen };
        let worker = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away in the middle is part of the tests.
                let _ = worker.serve(&stream);
            }
        });
        server
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A configuration that sends here.
    pub(crate) fn config(&self, user: &str) -> MailConfig {
        MailConfig {
            smtp: Some(format!("smtp://{user}{}", self.address)),
            from: "gatewatch <alerts@example.org>".into(),
            to: vec!["analyst@example.org".into(), "second@example.org".into()],
            ..MailConfig::default()
        }
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        if !self.answer(stream, &mut reader, GREETING, "220 mail.example.org ready")? {
            return Ok(());
        }
        let mut line = String::new();
        while 0 < reader.read_line(&mut line)? {
            let command = line.trim_end().to_owned();
            line.clear();
            self.seen().commands.push(command.clone());
            let usual = match command.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" => "250-mail.example.org\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
                "AUTH" => "235 2.7.0 welcome",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 2.0.0 ok",
            };
            if !self.answer(stream, &mut reader, &command, usual)? {
                return Ok(());
            }
            if command == "DATA" && self.reply("DATA").is_none() {
                let mail = read_mail(&mut reader)?;
                let taken = self.reply(END).is_none();
                let refused = !self.answer(stream, &mut reader, END, "250 2.0.0 queued as 42")?;
                if taken {
                    self.seen().mails.push(mail);
                }
                if refused {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn reply(&self, command: &str) -> Option<Reply> {
        let seen = self.seen();
        seen.rules.iter().find(|(word, _)| command.starts_with(word)).map(|(_, reply)| *reply)
    }

    /// False when the conversation is over.
    fn answer(
        &self,
        mut stream: &TcpStream,
        reader: &mut BufReader<&TcpStream>,
        command: &str,
        usual: &str,
    ) -> std::io::Result<bool> {
        match self.reply(command) {
            None => stream.write_all(format!("{usual}\r\n").as_bytes())?,
            Some(Reply::Say(text)) => stream.write_all(format!("{text}\r\n").as_bytes())?,
            Some(Reply::Close) => return Ok(false),
            Some(Reply::Hang) => {
                let mut rest = String::new();
                while 0 < reader.read_line(&mut rest)? {}
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn read_mail(reader: &mut BufReader<&TcpStream>) -> std::io::Result<String> {
    let mut mail = String::new();
    let mut line = String::new();
    while 0 < reader.read_line(&mut line)? && line != ".\r\n" {
        mail.push_str(&line);
        line.clear();
    }
    Ok(mail)
}
