//! Sockets without a connection, and those of this machine.

use super::*;

#[test]
fn sockets_of_this_machine_take_streams_and_datagrams() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.sock");
    run(async {
        let listener = UnixListener::bind(&path).expect("a socket");
        let mut sink = sink(&format!("\"unix://{}\"", path.display()), "");
        let (accepted, sent) =
            tokio::join!(listener.accept(), deliver(&mut sink, &["one", "two"], NOW));
        sent.expect("delivered");
        drop(sink);
        let (mut stream, _) = accepted.expect("a connection");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("the messages");
        assert_eq!(vec!["one", "two"], users(&text));
        assert_eq!(2, text.iter().filter(|byte| **byte == b'\n').count());
    });
    fs::remove_file(&path).expect("removed");
    run(async {
        let receiver = UnixDatagram::bind(&path).expect("a socket");
        let mut sink = sink(&format!("\"unix-dgram://{}\"", path.display()), "");
        deliver(&mut sink, &["one", "two"], NOW).await.expect("delivered");
        for line in ["one", "two"] {
            let mut buffer = [0; 9000];
            let length = receiver.recv(&mut buffer).await.expect("a datagram");
            assert_eq!(vec![line], users(&buffer[..length]));
        }
        drop(receiver);
        let error = deliver(&mut sink, &["three"], NOW).await.expect_err("it is gone").words();
        assert!(error.starts_with("cannot send to unix-dgram:///"), "{error}");
    });
}

/// Graylog's chunks, put together, are the message; what is short travels as it is.
#[test]
fn a_long_message_of_gelf_travels_in_chunks() {
    let batch = fixture::batch(&["short", "long"], |line, writer| {
        writer.set(Field::User, line);
        if line == b"long" {
            writer.set(Field::UserAgent, &[b'a'; 3000]);
            writer.set(Field::Referrer, &[b'b'; 3000]);
        }
    });
    run(async {
        let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("udp://{}", receiver.local_addr().expect("an address"));
        let config = config(&format!("{address:?}"), "preset = \"graylog\"");
        let mut sink = AnySink::new(&config, &SinkContext::default());
        sink.deliver_once(&batch, NOW).await.expect("sent");
        let mut buffer = [0; 2048];
        let length = receiver.recv(&mut buffer).await.expect("a datagram");
        let short: serde_json::Value = serde_json::from_slice(&buffer[..length]).expect("JSON");
        assert_eq!("short", short["_user_name"]);
        let mut whole = Vec::new();
        loop {
            let length = receiver.recv(&mut buffer).await.expect("a datagram");
            assert_eq!([0x1e, 0x0f], buffer[..2]);
            whole.extend_from_slice(&buffer[12..length]);
            if buffer[10] + 1 == buffer[11] {
                break;
            }
        }
        let long: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
        assert_eq!("long", long["_user_name"]);
        assert!(2 * 1408 < whole.len(), "{} bytes", whole.len());
    });
}
