//! RELP with receivers that answer as they should, and with some that do not.

use super::*;

/// A frame from a sink: number, command and data.
type Frame = (u32, String, Vec<u8>);

/// The receiver's side of a session, which reads frames as strictly as the sink writes them.
struct Receiver {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Receiver {
    /// Accepts a connection and answers `open`.
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut receiver = Self { stream, bytes: Vec::new() };
        let (number, command, data) = receiver.frame().await.expect("a frame");
        assert_eq!((1, "open"), (number, command.as_str()));
        let offer = String::from_utf8(data).expect("text");
        assert!(offer.starts_with("relp_version=0\n") && offer.ends_with("\ncommands=syslog"));
        receiver.say("1 rsp 53 200 OK\nrelp_version=0\nrelp_software=x\ncommands=syslog\n").await;
        receiver
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("it is heard");
    }

    /// The next frame; nothing at the end of the connection.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = parsed(&self.bytes) {
                self.bytes.drain(..length);
                return Some(frame);
            }
            let mut buffer = [0; 65_536];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// Answers everything until the session ends; the users of the events.
    async fn take_all(mut self) -> Vec<String> {
        let mut found = Vec::new();
        while let Some((number, command, data)) = self.frame().await {
            match command.as_str() {
                "syslog" => found.extend(users(&data)),
                "close" => return found,
                other => panic!("{other}"),
            }
            self.say(&format!("{number} rsp 6 200 OK\n")).await;
        }
        found
    }
}

fn parsed(bytes: &[u8]) -> Option<(Frame, usize)> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    let mut words = text.split([' ', '\n']);
    let (number, command, length) = (words.next()?, words.next()?, words.next()?);
    let head = number.len() + command.len() + length.len() + 2;
    let data: usize = length.parse().ok()?;
    let end = if data == 0 { head } else { head + 1 + data };
    if *bytes.get(end)? != b'\n' {
        panic!("a frame that does not end: {text}");
    }
    let data = bytes[end - data..end].to_vec();
    Some(((number.parse().ok()?, command.to_owned(), data), end + 1))
}

fn relp(port: &str) -> AnySink {
    sink(&format!("\"relp://{port}\""), "")
}

#[test]
fn each_message_is_answered_before_its_frame_counts() {
    let mut bench = Bench::new();
    bench.store_frames(3, 400);
    run(async {
        let (listener, port) = listener().await;
        let config = config(&format!("\"relp://{port}\""), "");
        let receive = async { Receiver::accept(&listener).await.take_all().await };
        let (found, status) = tokio::join!(receive, bench.deliver(&config, NOW));
        let expected: Vec<String> = (0..1200).map(|line| format!("line {line}")).collect();
        assert_eq!(expected, found);
        assert_eq!((1200, None), (status.report(NOW).accepted, status.report(NOW).failure));
    });
}

/// Goal: never more than 128 messages without an answer, and none given up that has none.
///
/// Method: a receiver answers nothing until it has 128; then it answers some and goes away. All
/// come over the next connection.
#[test]
fn what_was_not_answered_is_sent_again() {
    let mut bench = Bench::new();
    bench.store_frames(1, 400);
    run(async {
        let (listener, port) = listener().await;
        let config = config(&format!("\"relp://{port}\""), "");
        let receive = async {
            let mut first = Receiver::accept(&listener).await;
            for expected in 2..=129 {
                let (number, ..) = first.frame().await.expect("a message");
                assert_eq!(expected, number);
            }
            let waited = first.stream.try_read(&mut [0; 9]).map_err(|error| error.kind());
            assert_eq!(Err(std::io::ErrorKind::WouldBlock), waited, "the window is 128");
            for number in 2..=60 {
                first.say(&format!("{number} rsp 6 200 OK\n")).await;
            }
            drop(first);
            Receiver::accept(&listener).await.take_all().await
        };
        let (found, status) = tokio::join!(receive, bench.deliver(&config, NOW));
        assert_eq!(400, found.into_iter().collect::<BTreeSet<String>>().len());
        let status = status.report(NOW);
        assert_eq!((400, 1), (status.accepted, status.retried));
    });
}

/// The words of the error when a receiver says `answer` to the first message.
fn answered(answer: &'static str) -> String {
    run(async {
        let (listener, port) = listener().await;
        let mut sink = relp(&port);
        let receive = async {
            let mut receiver = Receiver::accept(&listener).await;
            receiver.frame().await.expect("a message");
            receiver.say(answer).await;
            receiver
        };
        let (_receiver, sent) = tokio::join!(receive, deliver(&mut sink, &["x"], NOW));
        sent.expect_err("no answer that counts").words()
    })
}

#[test]
fn an_answer_that_is_none_ends_the_session() {
    for (answer, expected) in [
        ("2 rsp 17 500 disk\x1b[1m full\n", "refused: 500 disk"),
        ("3 rsp 6 200 OK\n", "does not speak RELP: it answers what nobody asked; check the port"),
        ("2 rsp 2 OK\n", "does not speak RELP: an answer has no code"),
        ("2 rsp 99999999 200", "does not speak RELP: an answer is too long"),
        ("2 rsp 6 200 OK2 rsp", "does not speak RELP: an answer is longer than it says"),
        ("HTTP/1.1 200 OK\r\n", "does not speak RELP: it does not begin with a number"),
        ("0 serverclose 0\n", "closed the connection"),
    ] {
        let words = answered(answer);
        assert!(words.contains(expected) && !words.contains('\x1b'), "{words}");
    }
}

#[test]
fn a_receiver_that_never_answers_is_an_error_after_its_time() {
    run_fast(async {
        let (listener, port) = listener().await;
        let mut sink = relp(&port);
        let receive = async {
            let mut receiver = Receiver::accept(&listener).await;
            receiver.frame().await.expect("a message");
            receiver
        };
        let (_receiver, sent) = tokio::join!(receive, deliver(&mut sink, &["x"], NOW));
        let words = sent.expect_err("no answer").words();
        assert!(words.ends_with("when asked to acknowledge what was sent"), "{words}");
    });
}

#[test]
fn a_receiver_without_syslog_gets_none() {
    run(async {
        let (listener, port) = listener().await;
        let mut sink = relp(&port);
        let receive = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(b"1 rsp 23 200 OK\ncommands=syslogs\n").await.expect("heard");
            stream
        };
        let (_stream, sent) = tokio::join!(receive, deliver(&mut sink, &["x"], NOW));
        let words = sent.expect_err("no session").words();
        assert!(words.contains("it offers no syslog"), "{words}");
    });
}

#[test]
fn a_session_that_was_closed_between_two_frames_is_opened_again() {
    run(async {
        let (listener, port) = listener().await;
        let mut sink = relp(&port);
        for round in 0..3 {
            let receive = async {
                let mut receiver = Receiver::accept(&listener).await;
                let (number, _, data) = receiver.frame().await.expect("a message");
                receiver.say(&format!("{number} rsp 6 200 OK\n0 serverclose 0\n")).await;
                users(&data)
            };
            let line = format!("line {round}");
            let lines = [line.as_str()];
            let (seen, sent) = tokio::join!(receive, deliver(&mut sink, &lines, NOW));
            sent.expect("delivered");
            assert_eq!(vec![line], seen);
        }
    });
}

#[test]
fn a_session_can_be_encrypted() {
    let papers = Papers::new();
    run(async {
        let (listener, port) = listener().await;
        let acceptor = papers.acceptor("server", true);
        let mut sink = sink(&format!("\"relp+tls://{port}\""), &papers.settings(OWN, ""));
        let receive = async {
            let mut stream = accept_tls(&listener, &acceptor).await;
            let mut found = Vec::new();
            for answer in ["1 rsp 24 200 OK\ncommands=a,syslog\n", "2 rsp 6 200 OK\n"] {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.expect("a frame");
                found.extend(users(&buffer[..length]));
                stream.write_all(answer.as_bytes()).await.expect("heard");
            }
            (stream, found)
        };
        let ((_stream, found), sent) = tokio::join!(receive, deliver(&mut sink, &["x"], NOW));
        sent.expect("delivered");
        assert_eq!(vec!["x"], found);
    });
}

/// A message that is refused twice while later ones are taken is at fault itself.
#[test]
fn a_message_that_is_refused_alone_is_a_dead_letter() {
    let mut bench = Bench::new();
    bench.store_frames(1, 300);
    run(async {
        let (listener, port) = listener().await;
        let config = config(&format!("\"relp://{port}\""), "");
        let receive = async {
            let mut receiver = Receiver::accept(&listener).await;
            let mut refused = 0;
            while let Some((number, _, data)) = receiver.frame().await {
                let is_poison = users(&data) == ["line 7"];
                refused += usize::from(is_poison);
                let answer = if is_poison { "rsp 10 500 not so" } else { "rsp 6 200 OK" };
                receiver.say(&format!("{number} {answer}\n")).await;
            }
            refused
        };
        let (refused, status) = tokio::join!(receive, bench.deliver(&config, NOW));
        let report = status.report(NOW);
        assert_eq!((2, 299, 1), (refused, report.accepted, report.rejected));
        assert_eq!(None, report.failure);
        let letters = bench.reader().dead_letters(None, 0, 10).expect("letters");
        assert_eq!("500 not so", letters[0].reason);
        assert!(String::from_utf8_lossy(&letters[0].body).contains("line 7"));
    });
}

/// A receiver whose disk is full refuses everything from some message on: nothing is given up.
#[test]
fn a_receiver_that_takes_nothing_more_gets_all_of_it_again() {
    let mut bench = Bench::new();
    bench.store_frames(1, 300);
    run(async {
        let (listener, port) = listener().await;
        let config = config(&format!("\"relp://{port}\""), "");
        let receive = async {
            let mut first = Receiver::accept(&listener).await;
            while let Some((number, ..)) = first.frame().await {
                let answer = if number < 40 { "rsp 6 200 OK" } else { "rsp 13 500 disk full" };
                if first.stream.write_all(format!("{number} {answer}\n").as_bytes()).await.is_err()
                {
                    break;
                }
            }
            Receiver::accept(&listener).await.take_all().await
        };
        let (found, status) = tokio::join!(receive, bench.deliver(&config, NOW));
        assert_eq!(300, found.len());
        assert_eq!((300, 0, 1), {
            let report = status.report(NOW);
            (report.accepted, report.rejected, report.retried)
        });
    });
}
