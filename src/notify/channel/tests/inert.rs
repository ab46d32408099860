//! Text from logs in every field of an alert, through every channel.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::super::stand_in::Got;
use super::super::told::Matter;
use super::super::*;
use super::{JUDGES, channel};
use crate::engine::detect::Alert;
use crate::notify::samples;

/// Renders as `kind` would, without a network.
fn rendered(kind: &str, alert: &Alert, dir: &Path) -> Got {
    let config = channel(&format!("type = {kind:?}\nname = \"a\""));
    let key_file = dir.join("key");
    std::fs::write(&key_file, "0123456789abcdef0123456789abcdef").expect("written");
    let letter = Letter {
        matter: Matter::Alert(alert),
        context: &samples::context(),
        now: alert.at,
        path: "/topic",
        key_file: Some(key_file),
    };
    let parcel = (config.kind.entry().render)(&letter).expect("a message");
    let mut headers: BTreeMap<String, String> =
        parcel.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers.insert("content-type".to_owned(), "application/json".to_owned());
    headers.insert("authorization".to_owned(), "Bearer sesame".to_owned());
    let path = match kind {
        "alertmanager" => "/api/v2/alerts".to_owned(),
        "gotify" => "/message".to_owned(),
        _ => parcel.path,
    };
    Got { method: "POST".to_owned(), path, headers, body: parcel.body }
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\r\n\t\0<>&\"'a-z:@!|*_`~#\\\\\\[\\]()]{0,120}",
        Just("<!channel> <@U123> <https://203.0.113.9|click> @everyone @here".to_owned()),
        Just("[click](https://203.0.113.9) ![x](http://203.0.113.9/x.png) <at>all</at>".to_owned()),
        Just("x\r\nX-Evil: 1\r\n\r\n{\"text\":\"forged\"}".to_owned()),
        Just("A".repeat(40_000)),
        Just("\u{202e}\u{200b}\u{1b}]8;;http://203.0.113.9\u{7}x".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_from_logs_is_inert_in_every_channel(texts in prop::collection::vec(hostile(), 12)) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut alert = samples::spray();
        let [id, rule, title, net, summary, user, site, path, line, file, event, advice] =
            <[String; 12]>::try_from(texts).expect("twelve");
        alert.id = if id.is_empty() { "0".to_owned() } else { id };
        (alert.rule.id, alert.rule.title, alert.rule.advice) = (rule, title, vec![advice]);
        alert.group = vec![("user.name".into(), net), ("site".into(), site.clone())];
        alert.summary = summary;
        (alert.users, alert.sites, alert.paths) = (vec![user], vec![site], vec![path]);
        alert.evidence.truncate(1);
        (alert.evidence[0].line, alert.evidence[0].file) = (line, file);
        alert.evidence[0].event_id = event;
        for (kind, check) in JUDGES {
            let got = rendered(kind, &alert, dir.path());
            check(&got);
            let mut shown = String::new();
            texts_of(&got.json(), &mut shown);
            prop_assert!(
                shown.chars().all(|c| c == '\n' || crate::escape::is_visible(c)),
                "{kind}: {}", shown.escape_debug()
            );
            let lower = shown.to_ascii_lowercase();
            let schema = lower.replace("http://adaptivecards.io/", "");
            prop_assert!(!schema.contains("http://") && !schema.contains("https://"), "{kind}");
            prop_assert!(!lower.contains("@everyone") && !lower.contains("@here"), "{kind}");
        }
        for kind in ["webhook", "exec", "file"] {
            let got = rendered(kind, &alert, dir.path());
            let lines = got.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            prop_assert_eq!(1, lines.count(), "{}", kind);
            prop_assert_eq!(&Value::from("alert"), &got.json()["event"]["kind"]);
            prop_assert!(got.headers.values().all(|value| !value.contains(['\r', '\n'])));
        }
    }
}

/// All texts in a value, the names of fields left out.
fn texts_of(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| texts_of(item, out)),
        Value::Object(map) => map.values().for_each(|item| texts_of(item, out)),
        _ => (),
    }
}
