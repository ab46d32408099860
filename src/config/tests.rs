//! What the operator reads after a mistake.

use super::*;

fn load(text: &str) -> Result<Config, Vec<Problem>> {
    Config::from_texts(&[(PathBuf::from("gatewatch.toml"), text.to_owned())])
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let problems = load(text).expect_err("the text must be refused");
    let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(expected.len(), shown.len(), "{shown:#?}");
    for (expected, shown) in expected.iter().zip(&shown) {
        assert!(shown.starts_with(expected), "expected {expected:?}, got {shown:?}");
    }
}

#[test]
fn ten_lines_are_enough() {
    let config = load(
        "[[source]]\npath = \"/var/log/nginx/*access*.log\"\n\
         [mail]\nsmtp = \"smtps://alerts@mail.example.org:465\"\nfrom = \"alerts@example.org\"\n\
         to = [\"analyst@example.org\"]\n\
         [[sink]]\ntype = \"syslog\"\naddress = \"tcp://siem.example.org:601\"\n",
    )
    .expect("sound");
    assert_eq!(1, config.sources.len());
    assert_eq!(1, config.sinks.len());
    assert!(config.mail.is_enabled());
}

#[test]
fn all_mistakes_are_told_at_once_with_line_key_and_fix() {
    check(
        "[[source]]\npath = \"/var/log/a.log\"\nfromat = \"auto\"\n\n[store]\nmax_size = \"1 gig\"\n\n\
         [sevre]\nlisten = \"off\"\n",
        &[
            "gatewatch.toml:3: source[0].fromat: there is no such setting; did you mean `format`?",
            "gatewatch.toml:6: store: `1 gig` is not a size; write a number with",
            "gatewatch.toml:8: sevre: there is no such section; did you mean `serve`?",
        ],
    );
}

#[test]
fn values_are_checked_against_what_is_known() {
    check(
        "[[source]]\npath = \"/var/log/a.log\"\nformat = \"combine\"\n\
         [[source]]\npath = \"/var/log/a.log\"\ntimezone = \"Mars/Base\"\n\
         [rules]\ndisable = [\"http.404\"]\n\
         scale = { \"http.jndi\" = 2, \"http.crawl\" = 400.0, \"http.craw\" = 2 }\n",
        &[
            "rules.disable: `http.404` is no rule",
            "rules.scale: `http.craw` is no rule",
            "rules.scale: `http.crawl`: 400 times its limits is out of reach",
            "rules.scale: `http.jndi` has no number of events or values",
            "source[0].format: `combine` is no format, did you mean `combined`?",
            "source[1].timezone: `Mars/Base` is no time zone",
            "source[1].name: two sources are called `/var/log/a.log`",
        ],
    );
}

#[test]
fn what_a_rule_says_covers_it_is_a_rule() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let rule = "schema = 1\n[[rule]]\nid = \"x\"\ntitle = \"X\"\nwhere = {}\ngroup_by = []\n\
                window = \"1m\"\nthreshold = 5\ncovered_by = [\"http.crawll\"]\n";
    std::fs::write(file.path(), rule).expect("written");
    check(
        &format!("[rules]\nfiles = [{:?}]\n", file.path()),
        &[
            "rules.files: x: `covered_by` names `http.crawll`, which is no rule; did you mean `http.crawl`?",
        ],
    );
}

#[test]
fn a_bad_log_format_says_where_it_cannot_be_told_apart() {
    check(
        "[[source]]\npath = \"/a\"\nlog_format = '$remote_addr$status'\n",
        &["source[0].log_format: bad log_format: `$remote_addr` and `$status` stand side by side"],
    );
}

#[test]
fn keys_that_are_mapped_are_checked() {
    check(
        "[[source]]\npath = \"/a\"\nfields = { clinet = \"ip\", status = \"code\" }\n\
         [[source]]\npath = \"/b\"\nfields = { status = \"code\" }\nformat = \"combined\"\n",
        &[
            "source[0].fields: bad fields: `clinet` is no field, did you mean `client`?",
            "source[1].fields: `fields` says how lines are read, and so do `format`",
        ],
    );
    let text = "[[source]]\npath = \"/a\"\nfields = { client = \"net.ip\", status = \"code\" }\n";
    let config = load(text).expect("sound");
    assert_eq!("fields:client=net.ip\tstatus=code", definition(&config.sources[0]));
}

#[test]
fn a_single_bracket_where_two_are_needed_is_explained() {
    check(
        "[source]\npath = \"/a\"\n",
        &["gatewatch.toml:1: source: there may be several of these"],
    );
}

#[test]
fn standard_input_can_be_read_once_only() {
    check(
        "[[source]]\npath = \"-\"\n[[source]]\npath = \"-\"\nname = \"again\"\n",
        &["source[1].path: standard input is read by another source already"],
    );
}
