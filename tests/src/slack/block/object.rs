//! The small parts of blocks: texts, options, confirmations, images.

use serde_json::Value;

use super::findings::Findings;

/// Which kinds of text are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Any,
}

/// A text object with 1 to `longest` characters.
pub(crate) fn check_text(text: &Value, kind: Kind, longest: usize, findings: &mut Findings) {
    match text.get("type").and_then(Value::as_str) {
        Some("plain_text") => findings.only_fields(text, &["type", "text"], &["emoji"]),
        Some("mrkdwn") if kind == Kind::Any => {
            findings.only_fields(text, &["type", "text"], &["verbatim"]);
        }
        Some(other) => findings.note(&format!("unsupported type: {other}")),
        None => findings.note("must be a text object"),
    }
    findings.required_text(text, "text", longest);
}

/// An image block or element.
pub(crate) fn check_image(image: &Value, findings: &mut Findings) {
    findings.required_text(image, "alt_text", 2000);
    if image.get("image_url").is_none() == image.get("slack_file").is_none() {
        findings.note("exactly one of image_url and slack_file must be given");
    }
    findings.optional_text(image, "image_url", 3000);
}

/// One option of a menu or a group of checkboxes.
pub(crate) fn check_option(option: &Value, kind: Kind, findings: &mut Findings) {
    findings.only_fields(option, &["text", "value"], &["description", "url"]);
    findings.required(option, "text", |text, findings| {
        check_text(text, kind, 75, findings);
    });
    findings.required_text(option, "value", 150);
    findings.optional(option, "description", |text, findings| {
        check_text(text, kind, 75, findings);
    });
    findings.optional_text(option, "url", 3000);
}

/// A confirmation dialog.
pub(crate) fn check_confirm(confirm: &Value, findings: &mut Findings) {
    findings.only_fields(confirm, &["title", "text", "confirm", "deny"], &["style"]);
    let parts = [
        ("title", Kind::Plain, 100),
        ("text", Kind::Any, 300),
        ("confirm", Kind::Plain, 30),
        ("deny", Kind::Plain, 30),
    ];
    for (name, kind, longest) in parts {
        findings.required(confirm, name, |text, findings| {
            check_text(text, kind, longest, findings);
        });
    }
    check_style(confirm, findings);
}

/// How a button looks.
pub(crate) fn check_style(object: &Value, findings: &mut Findings) {
    findings.optional(object, "style", |style, findings| {
        if !matches!(style.as_str(), Some("primary" | "danger")) {
            findings.note("must be primary or danger");
        }
    });
}
