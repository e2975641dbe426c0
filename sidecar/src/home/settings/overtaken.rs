//! The form, after its routes or reminders have changed while somebody filled it in.

use serde_json::{Value, json};

use super::lines::Lines;
use super::modal::section;
use crate::slack::LONGEST_TEXT;

/// The form as it is now, with what was typed above it, which would have replaced what is there now.
pub(super) fn again(mut view: Value, typed: &[Lines]) -> Value {
    let mut blocks = vec![section(
        ":warning: The routes or reminders have changed meanwhile. Nothing is saved yet. Below they are as they are now; all else is as you \
         have filled it in, and replaces what others have saved. Save it again when it is right.",
    )];
    for lines in typed.iter().filter(|lines| !lines.text.trim().is_empty()) {
        let typed = format!("Your {} were:\n{}", lines.words(), lines.text);
        // What was typed is as long as a section may be: with these words it needs two.
        let (first, rest) = split(&typed, LONGEST_TEXT);
        let (second, _) = split(rest, LONGEST_TEXT);
        for part in [first, second] {
            if !part.trim().is_empty() {
                let text = json!({ "type": "plain_text", "text": part, "emoji": false });
                blocks.push(json!({ "type": "section", "text": text }));
            }
        }
    }
    if let Some(shown) = view["blocks"].as_array_mut() {
        shown.splice(..0, blocks);
    }
    view
}

/// As much as fits, as Slack counts it, and the rest: at the end of a line if there is one not far from the limit.
fn split(text: &str, most: usize) -> (&str, &str) {
    let mut units = 0;
    let end = text.char_indices().find(|(_, letter)| {
        units += letter.len_utf16();
        units > most
    });
    let Some((end, _)) = end else {
        return (text, "");
    };
    let line = text[..end].rfind('\n').map(|place| place + 1);
    let is_near = |place: &usize| text[*place..].encode_utf16().count() <= most;
    text.split_at(line.filter(is_near).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::modal::LONGEST_INPUT;
    use super::super::{reminders, routes};
    use super::{LONGEST_TEXT, Lines, again};

    #[test]
    fn who_was_overtaken_still_has_what_they_typed() {
        let view = json!({ "blocks": [{ "type": "divider" }] });
        let lines = |kind, typed: &str| Lines::of(kind, "x.v1", typed);
        let shown =
            |typed: &str| again(view.clone(), &[lines(&routes::KIND, typed)])["blocks"].clone();
        let both = [lines(&routes::KIND, ""), lines(&reminders::KIND, "9:00")];
        assert_eq!(
            again(view.clone(), &both)["blocks"][1]["text"]["text"],
            "Your review reminders were:\n9:00"
        );
        let blocks = shown("#a <!channel>");
        assert_eq!(blocks.as_array().map(Vec::len), Some(3));
        assert_eq!(
            blocks[1]["text"]["text"],
            "Your routes were:\n#a <!channel>"
        );
        assert_eq!(shown(" \n").as_array().map(Vec::len), Some(2));
        for long in [
            "x".repeat(LONGEST_INPUT),
            "😀".repeat(LONGEST_INPUT / 2),
            format!("#a\n{}", "x".repeat(LONGEST_INPUT - 3)),
            format!(
                "{}\n{}",
                "x".repeat(LONGEST_INPUT / 2),
                "y".repeat(LONGEST_INPUT / 2 - 1)
            ),
        ] {
            let blocks = shown(&long);
            let parts =
                [1, 2].map(|place| blocks[place]["text"]["text"].as_str().unwrap_or("none"));
            assert_eq!(parts.concat(), format!("Your routes were:\n{long}"));
            assert!(
                parts
                    .iter()
                    .all(|it| it.encode_utf16().count() <= LONGEST_TEXT)
            );
        }
    }
}
