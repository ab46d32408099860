//! Who is told to have been there, and who is not, whatever clients send.

use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::engine::batch::Origin;
use crate::engine::enrich::{Enricher, Logins};
use crate::engine::format::FormatSet;
use crate::engine::memory::Memory;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;

/// 2026-11-19T20:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_118_400);

const NGINX: &str = "combined";

/// As nginx's own format, with the name that the application puts into its answer behind it.
const SERVED: &str = "written:$remote_addr - $remote_user [$time_local] \"$request\" $status \
                      $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $upstream_http_x_user";

fn attendance() -> Attendance {
    let roster = Roster::read(b"user,name\nalice,Alice A.\nbob,Bob B.\ncarol,\n").expect("sound");
    let zone = TimeZone::get("Europe/Paris").expect("a zone of the database");
    Attendance::new(Arc::new(roster), zone, 7)
}

fn read(format: &str, text: &str) -> EventBatch {
    let logins = Logins { protected: vec!["/members/".to_owned()], ..Logins::default() };
    let enricher = Enricher { logins: logins.clone(), ..Enricher::default() };
    let formats = FormatSet::from_definition(format).expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, NOW);
    let mut parser = Parser::new(formats, times, Arc::new(enricher));
    let mut batch = EventBatch::default();
    let origin = Origin { source: "web".to_owned(), ..Origin::default() };
    let bytes = text.as_bytes().to_vec();
    let origin = Arc::new(origin);
    parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at: NOW });
    Memory::new(&logins).complete(&mut batch, parser.format_name());
    batch
}

fn seen(format: &str, text: &str) -> Vec<Sighting> {
    let mut attendance = attendance();
    attendance.add(&read(format, text), NOW);
    attendance.sightings()
}

/// `day kind:name evidence count hour,hour…` of each sighting.
fn shown(sightings: &[Sighting]) -> Vec<String> {
    let row = |seen: &Sighting| {
        let (kind, name) = seen.person.parts();
        let hours: Vec<String> = (0..24)
            .filter(|hour| seen.hours >> hour & 1 == 1)
            .map(|hour: u32| hour.to_string())
            .collect();
        let (day, hours) = (seen.day, hours.join(","));
        format!("{day} {kind}:{name} {} {} {hours}", seen.evidence.name(), seen.count)
    };
    sightings.iter().map(row).collect()
}

#[track_caller]
fn check(format: &str, text: &str, expected: &[&str]) {
    assert_eq!(expected, shown(&seen(format, text)), "{text}");
}

/// A line of nginx's combined format on Thursday 2026-11-19 at 18:00 in Paris.
fn line(user: &str, request: &str, status: u16) -> String {
    let time = "19/Nov/2026:18:00:00 +0100";
    format!(
        "198.51.100.66 - {user} [{time}] \"{request} HTTP/1.1\" {status} 512 \"-\" \"curl/8\"\n"
    )
}

#[test]
fn whom_the_server_checked_was_there_on_the_day_of_the_zone() {
    let text = [
        line("alice", "GET /members/", 200),
        line("ALICE", "GET /members/news", 304).replace("18:00:00", "20:15:00"),
        line("bob", "GET /members/", 401),
        // Half past eleven at night in London is the next day in Paris.
        line("carol", "GET /members/", 200)
            .replace("19/Nov/2026:18:00:00 +0100", "18/Nov/2026:23:30:00 +0000"),
        line("zoe", "GET /members/", 200),
    ];
    check(
        NGINX,
        &text.concat(),
        &[
            "2026-11-19 member:alice A 2 18,20",
            "2026-11-19 member:bob failure 1 18",
            "2026-11-19 member:carol A 1 0",
            "2026-11-19 stranger:zoe A 1 18",
        ],
    );
}

/// What a client may send to nginx to pass for Alice; none of it makes her present.
const FORGERIES: &[(&str, &str, u16)] = &[
    ("alice", "GET /", 200),
    ("alice", "GET /members", 301),
    ("alice", "GET /membership/", 200),
    ("alice", "GET /members/../", 200),
    ("alice", "GET /members/%2e%2e/", 200),
    ("alice", "GET //members/", 200),
    ("alice", "GET /?/members/", 200),
    ("alice", "GET /members/", 401),
    ("alice", "GET /members/", 403),
    // Another one's password in the form, Alice's name in the header.
    ("alice", "POST /wp-login.php", 302),
    ("alice", "POST /users/sign_in", 303),
    ("alice", "POST /api/v1/login", 200),
    ("alice", "GET /wp-json/wp/v2/users/me", 200),
    ("alice", "POST /login", 302),
    // A name that looks like the rest of a line.
    (r"alice [19/Nov/2026:10:00:00 +0100] \x22GET /members/ HTTP/1.1\x22 200 5", "GET /", 200),
    ("alice [19/Nov/2026:10:00:00 +0100] ", "GET /members/../x", 200),
    // Lines inside a line.
    ("-", r"GET /\x0a192.0.2.7 - alice [19/Nov/2026:18:00:00 +0100] \x22GET /members/", 200),
];

#[test]
fn a_name_that_a_client_sends_to_nginx_makes_nobody_present() {
    for (user, request, status) in FORGERIES {
        for sighting in seen(NGINX, &line(user, request, *status)) {
            let is_counted = sighting.evidence.counts(Grade::D);
            assert!(!is_counted, "{user} {request} {status}: {sighting:?}");
        }
    }
    check(NGINX, &line("alice", "GET /", 200), &["2026-11-19 member:alice C 1 18"]);
    check(NGINX, &line("alice", "POST /wp-login.php", 302), &["2026-11-19 member:alice C 1 18"]);
}

#[test]
fn a_request_that_names_somebody_in_its_agent_or_referrer_names_nobody() {
    let text = line("-", "GET /members/", 200).replace("curl/8", r"\x22 - alice [x]");
    check(NGINX, &text, &[]);
}

#[test]
fn error_logs_let_nobody_in() {
    let client = "client: 198.51.100.66, server: www.example.org, request: \"GET / HTTP/1.1\"";
    for message in [
        "user \"alice\": password mismatch",
        "user \"alice\" was not found in \"/etc/nginx/.htpasswd\"",
        "Accepted password for alice from 192.0.2.7 port 22 ssh2",
        "open() \"/srv/Login successful user 'alice'\" failed (2: No such file or directory)",
        "FastCGI sent in stderr: \"user alice logged in\" while reading response header",
    ] {
        let text = format!(
            "2026/11/19 18:00:00 [error] 7#7: *3 {message}, {client}\n\
             Nov 19 18:00:00 web1 sshd[9]: Accepted password for alice from 192.0.2.7 port 22 ssh2\n"
        );
        for sighting in seen("nginx_error", &text) {
            assert!(!sighting.evidence.counts(Grade::D), "{message}: {sighting:?}");
        }
    }
}

#[test]
fn the_first_way_is_the_log_of_the_application_or_daemon() {
    check(
        "json",
        "{\"time\":\"2026-11-19T17:00:00Z\",\"event\":\"login\",\"outcome\":\"success\",\
         \"user\":\"alice\",\"ip\":\"192.0.2.7\"}\n",
        &["2026-11-19 member:alice A 1 18"],
    );
    let sshd =
        "Nov 19 17:00:00 web1 sshd[9]: Accepted password for bob from 192.0.2.7 port 22 ssh2\n";
    check("auth", sshd, &["2026-11-19 member:bob A 1 18"]);
    assert_eq!("sshd", seen("auth", sshd)[0].site);
}

#[test]
fn the_second_way_is_a_header_of_the_answer() {
    let with = |user: &str, request: &str, status: u16, served: &str| {
        format!("{} {served}\n", line(user, request, status).trim_end())
    };
    let let_in = with("-", "POST /wp-login.php", 302, "alice");
    check(SERVED, &let_in, &["2026-11-19 member:alice B 1 18"]);
    // The application knows better than the client.
    let claimed = with("bob", "POST /wp-login.php", 302, "alice");
    check(SERVED, &claimed, &["2026-11-19 member:alice B 1 18"]);
    let nobody = with("bob", "POST /wp-login.php", 302, "-");
    check(SERVED, &nobody, &["2026-11-19 member:bob C 1 18"]);
    let apache = "written:%h %l %u %t \"%r\" %>s %b %{X-User}o";
    let line = "192.0.2.7 - - [19/Nov/2026:18:00:00 +0100] \"POST /wp-login.php HTTP/1.1\" 302 5";
    check(apache, &format!("{line} Carol\n"), &["2026-11-19 member:carol B 1 18"]);
    check(apache, &format!("{line} -\n"), &["2026-11-19 unnamed:192.0.2.7 C 1 18"]);
}

#[test]
fn caddy_tells_a_header_of_the_answer_too() {
    let line = "{\"level\":\"info\",\"ts\":1795107600.5,\"logger\":\"http.log.access\",\"msg\":\
        \"handled request\",\"request\":{\"remote_ip\":\"192.0.2.7\",\"remote_port\":\"5120\",\
        \"client_ip\":\"192.0.2.7\",\"proto\":\"HTTP/2.0\",\"method\":\"POST\",\"host\":\"a.example.org\",\
        \"uri\":\"/wp-login.php\",\"headers\":{\"X-User\":[\"bob\"]}},\"bytes_read\":21,\"user_id\":\"\",\
        \"duration\":0.0042,\"size\":9,\"status\":302,\"resp_headers\":{\"X-User\":[\"alice\"]}}\n";
    check("caddy", line, &["2026-11-19 member:alice B 1 18"]);
}

#[test]
fn the_third_way_is_a_count_of_clients() {
    let text = [line("-", "POST /wp-login.php", 302), line("-", "POST /login", 302)].concat();
    check(
        NGINX,
        &text,
        &["2026-11-19 unnamed:198.51.100.66 C 1 18", "2026-11-19 unnamed:198.51.100.66 D 1 18"],
    );
}

#[test]
fn what_was_typed_as_a_name_is_shown_only_where_it_was_checked() {
    let text = line("hunter2", "GET /members/", 401);
    let shown = shown(&seen(NGINX, &text));
    assert!(shown[0].contains("stranger:unknown#") && !shown[0].contains("hunter2"), "{shown:?}");
}

#[test]
fn a_line_dated_far_ahead_belongs_to_the_day_on_which_it_was_read() {
    let text = line("alice", "GET /members/", 200).replace("19/Nov/2026", "19/Nov/2036");
    check(NGINX, &text, &["2026-11-19 member:alice A 1 21"]);
}

proptest! {
    #[test]
    fn lines_cut_in_any_way_and_in_any_order_add_up_to_the_same(
        picks in prop::collection::vec((0..5usize, 0..86_400u64), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let names = ["alice", "ALICE", "bob", "zoe", "-"];
        let lines: Vec<String> = picks
            .iter()
            .map(|(name, second)| {
                let clock = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
                line(names[*name], "POST /wp-login.php", 302).replace("18:00:00", &clock)
                    + &line(names[*name], "GET /members/", 200).replace("18:00:00", &clock)
            })
            .collect();
        let whole = seen(NGINX, &lines.concat());
        let (one, two) = lines.split_at(cut.index(lines.len()));
        let mut sums: BTreeMap<_, Sighting> = BTreeMap::new();
        for part in [two, one] {
            for sighting in seen(NGINX, &part.concat()) {
                let key = (sighting.day, sighting.person.clone(), sighting.evidence);
                match sums.get_mut(&key) {
                    Some(sum) => sum.add(sighting),
                    None => drop(sums.insert(key, sighting)),
                }
            }
        }
        let parts: Vec<Sighting> = sums.into_values().collect();
        // Ids name the place of a line in its file, which a part of the file does not have.
        prop_assert_eq!(shown(&whole), shown(&parts));
    }
}
