//! A Markdown page, as far as the tests need it.

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) language: String,
    pub(super) text: String,
    /// The line of its fence, counted from 1.
    pub(super) line: usize,
}

/// The parts of a page: blocks, and the lines between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Block(Block),
    Line(usize, String),
}

pub(super) fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open: Option<Block> = None;
    for (place, line) in text.lines().enumerate() {
        match (open.take(), line.strip_prefix("```")) {
            (Some(block), Some(_)) => parts.push(Part::Block(block)),
            (Some(mut block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.trim().to_owned(),
                    text: String::new(),
                    line: place + 1,
                });
            }
            (None, None) => parts.push(Part::Line(place + 1, line.to_owned())),
        }
    }
    parts
}

pub(super) fn write(parts: &[Part]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Line(_, line) => text.push_str(line),
            Part::Block(block) => {
                text.push_str(&format!("```{}\n{}```", block.language, block.text));
            }
        }
        text.push('\n');
    }
    text
}

/// The anchors of a page's headings, as GitLab and mdBook create them.
pub(super) fn anchors(parts: &[Part]) -> Vec<String> {
    let headings = parts.iter().filter_map(|part| match part {
        Part::Line(_, line) if line.starts_with('#') => Some(line.trim_start_matches('#').trim()),
        _ => None,
    });
    headings.map(anchor).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The targets of the links in a line.
pub(super) fn links(line: &str) -> Vec<&str> {
    // Text between backticks is not a link.
    let plain: Vec<&str> = line.split('`').step_by(2).collect();
    let mut found = Vec::new();
    for text in plain {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            found.push(target);
            rest = after;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{anchor, links, parts, write};

    #[test]
    fn pages_are_read_as_they_are_written() {
        let text = "# A page\n\n```sql\nselect 1;\n```\n\nMore.\n";
        assert_eq!(write(&parts(text)), text);
    }

    #[test]
    fn anchors_are_those_of_code_hosts() {
        assert_eq!(anchor("6. Connect a project"), "6-connect-a-project");
        assert_eq!(
            anchor("Changes of GitLab's tables"),
            "changes-of-gitlabs-tables"
        );
        assert_eq!(anchor("`backfill_progress`"), "backfill_progress");
    }

    #[test]
    fn links_are_found() {
        assert_eq!(links("see [a](b.md#c) and [d](e)"), ["b.md#c", "e"]);
        assert!(links("`[a](b)`").is_empty());
    }
}
