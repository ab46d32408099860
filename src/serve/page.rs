//! The first page: what this is, what it watches, and whether it does.
//!
//! The template escapes every value, and the page has no script.

use askama::Template;

use super::http::Watched;
use super::readiness::ReadinessReport;

/// Where the style sheet is: the content policy allows none inside the page.
pub(super) const STYLE_PATH: &str = "/style.css";

/// The style sheet.
pub(super) const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8886; padding: .3rem .6rem .3rem 0; text-align: left; }
td { overflow-wrap: anywhere; vertical-align: top; }
.fails { color: #c5221f; font-weight: 600; }
.well { color: #188038; }
";

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gatewatch</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<h1>gatewatch {{ version }}</h1>
<p>Reads web-server and login logs. This listener is for machines:
<a href="/metrics">/metrics</a> for Prometheus,
<a href="/readyz">/readyz</a> for what works and what does not,
<a href="/healthz">/healthz</a> for whether the process is alive.</p>
<h2>Watched</h2>
{% if watched.is_empty() %}<p>Nothing yet.</p>
{% else %}<table>
<tr><th>Source</th><th>Path</th></tr>
{% for source in watched %}<tr><td>{{ source.name }}</td><td><code>{{ source.path }}</code></td></tr>
{% endfor %}</table>
{% endif %}<h2>State: {% if report.ready %}<span class="well">ready</span>{% else %}<span class="fails">not ready</span>{% endif %}</h2>
<table>
<tr><th>Part</th><th>State</th></tr>
{% for check in report.checks %}<tr><td>{{ check.name }}</td><td>{% match check.reason %}{% when Some with (reason) %}<span class="fails">{{ reason }}</span>{% when None %}<span class="well">ok</span>{% endmatch %}</td></tr>
{% endfor %}</table>
</body>
</html>
"#
)]
struct Index<'a> {
    version: &'static str,
    watched: &'a [Watched],
    report: &'a ReadinessReport,
}

/// The page as HTML.
pub(super) fn index(watched: &[Watched], report: &ReadinessReport) -> String {
    let page = Index { version: env!("CARGO_PKG_VERSION"), watched, report };
    page.render().expect("writing to a string cannot fail")
}
