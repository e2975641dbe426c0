//! Problems of a message.

use crate::notification::message::draft::Message;

/// What Slack would reject, or treat as more than text.
pub(super) fn wrong(message: &Message) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |is_right: bool, what: String| {
        if !is_right {
            wrong.push(what);
        }
    };
    let length = |text: &str| text.chars().count();
    let mut texts = vec![("text", message.text.as_str(), 4_000)];
    check(
        (1..=50).contains(&message.blocks.len()),
        "number of blocks".to_owned(),
    );
    for block in &message.blocks {
        let of = |list: &'static str| block[list].as_array().cloned().unwrap_or_default();
        let (fields, elements) = (of("fields"), of("elements"));
        check(
            fields.len() <= 10 && elements.len() <= 10,
            format!("number of parts: {block}"),
        );
        let text = block.get("text").map(|text| ("section", text, 3_000));
        let fields = block["fields"].as_array().into_iter().flatten();
        let elements = block["elements"].as_array().into_iter().flatten();
        let parts = text.into_iter();
        let parts = parts.chain(fields.map(|field| ("field", field, 2_000)));
        for (part, object, longest) in
            parts.chain(elements.map(|element| ("context", element, 2_000)))
        {
            check(
                object["type"] == "mrkdwn" && object["verbatim"] == true,
                format!("{part}: {object}"),
            );
            texts.push((part, object["text"].as_str().unwrap_or_default(), longest));
        }
    }
    for (part, text, longest) in texts {
        check(
            (1..=longest).contains(&length(text)),
            format!("{part} of {} characters", length(text)),
        );
        check(
            is_harmless(text, part != "text"),
            format!("{part}: {text:?}"),
        );
        let hidden = [
            '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2060}', '\0', '\r',
        ];
        check(
            !text.contains(hidden),
            format!("{part} hides something: {text:?}"),
        );
    }
    wrong
}

/// Whether everything that Slack reads as markup is ours: links to pages and times, balanced code, and escaped characters.
fn is_harmless(text: &str, has_markup: bool) -> bool {
    let mut rest = text;
    let mut outside = String::new();
    while let Some((before, after)) = rest.split_once('<') {
        outside.push_str(before);
        let Some((inner, after)) = after.split_once('>') else {
            return false;
        };
        let Some((target, label)) = inner.split_once('|') else {
            return false;
        };
        let is_page = target.starts_with("https://") || target.starts_with("http://");
        let is_ours = is_page || target.starts_with("!date^");
        let is_printable = target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !has_markup
            || !is_ours
            || !is_printable
            || label.is_empty()
            || label.contains(['<', '|', '`', '\n'])
        {
            return false;
        }
        outside.push_str("link");
        outside.push_str(label);
        rest = after;
    }
    outside.push_str(rest);
    let mut entities = outside.split('&').skip(1);
    let is_escaped = entities.all(|entity| {
        ["amp;", "lt;", "gt;"]
            .iter()
            .any(|known| entity.starts_with(known))
    });
    let has_whole_code = outside
        .lines()
        .all(|line| line.matches('`').count() % 2 == 0);
    is_escaped && !outside.contains('>') && has_whole_code && !outside.contains("``")
}
