//! A mail server on the loopback that takes everything and remembers when it came.

use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use gatewatch::units::Timestamp;

use super::support::now;

/// A mail as it came.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) message_id: String,
    pub(crate) subject: String,
    pub(crate) at: Timestamp,
    /// All of it, as it came over the wire.
    pub(crate) raw: String,
}

/// The server; its thread lives as long as the test's process.
#[derive(Clone, Debug)]
pub(crate) struct MailServer {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// Begins to listen.
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port on loopback"))
    }

    /// Serves the connections of `listener`.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("bound");
        let server = Self { address, mails: Arc::default() };
        let worker = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let worker = worker.clone();
                // A client that is killed in the middle is part of the tests.
                std::thread::spawn(move || worker.serve(&stream));
            }
        });
        server
    }

    /// `[mail]` of a configuration that sends here, as often as there are alerts.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[mail]\nsmtp = \"smtp://{}\"\nfrom = \"gatewatch@example.org\"\n\
             to = [\"analyst@example.org\"]\nmax_per_hour = 100000\nmax_per_day = 100000\nbundle = \"0s\"\ntimezone = \"UTC\"\n",
            self.address
        )
    }

    /// The mails so far.
    pub(crate) fn mails(&self) -> MutexGuard<'_, Vec<Mail>> {
        self.mails.lock().expect("sound")
    }

    fn serve(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        stream.write_all(b"220 mail.example.org ready\r\n")?;
        let mut line = String::new();
        while 0 < reader.read_line(&mut line)? {
            let answer = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
                "EHLO" => "250-mail.example.org\r\n250 8BITMIME",
                "DATA" => "354 go on",
                "QUIT" => "221 bye",
                _ => "250 2.0.0 ok",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes())?;
            if line.starts_with("DATA") {
                let mail = read_mail(&mut reader)?;
                self.mails().push(mail);
                stream.write_all(b"250 2.0.0 queued\r\n")?;
            }
            line.clear();
        }
        Ok(())
    }
}

fn read_mail(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Mail> {
    let (message_id, subject, raw) = (String::new(), String::new(), String::new());
    let mut mail = Mail { message_id, subject, at: now(), raw };
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            mail.at = now();
            return Ok(mail);
        }
        mail.raw.push_str(&line);
        for (name, value) in
            [("Message-ID: ", &mut mail.message_id), ("Subject: ", &mut mail.subject)]
        {
            if let Some(text) = line.strip_prefix(name)
                && value.is_empty()
            {
                text.trim_end().clone_into(value);
            }
        }
    }
}
