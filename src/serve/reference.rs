//! The reference page of the metrics, made from their table.

use super::table::METRICS;

/// The reference page of all metrics, in Markdown.
pub fn reference() -> String {
    let mut page = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for entry in METRICS {
        let labels: Vec<String> = entry.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (entry.name, entry.kind.name(), labels.join(" "));
        page.push_str(&format!("| `{name}` | {kind} | {labels} | {} |\n", entry.help));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_page_is_the_table() {
        crate::serve::testing::check_golden("reference.md", &reference());
    }
}
