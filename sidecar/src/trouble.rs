//! What keeps messages from channels. `/gitlab status`, the App Home and the pages say it in the same words.

use std::fmt::Write;

use crate::database::{Integration, Trouble};
use crate::settings::SCOPES;
use crate::slack::{advice, code, shorten};

/// An integration has up to ten channels per event.
const MOST_TROUBLES: usize = 10;

/// A line for each channel that could not be reached lately.
pub(crate) fn troubled(troubles: &[Trouble]) -> String {
    let lines = troubles.iter().take(MOST_TROUBLES).map(|trouble| {
        let channel = code(&shorten(&trouble.channel, 80));
        let needed = trouble.needed.as_deref();
        let of_channel = of_channels(&channel, &trouble.error, needed, trouble.failures);
        format!("\n:x: {of_channel}")
    });
    let mut text: String = lines.collect();
    let more = troubles.len().saturating_sub(MOST_TROUBLES);
    if more > 0 {
        // Writing to a String never fails.
        let _ = write!(text, "\n… and {more} channels more");
    }
    text
}

/// Which channels, why, and what to do about it; as Slack's markup.
pub(crate) fn of_channels(
    channels: &str,
    error: &str,
    needed: Option<&str>,
    messages: i64,
) -> String {
    let messages = match messages {
        // Nothing is tried.
        0 => return format!("{channels}: {}", advice(error, needed)),
        1 => "one message was".to_owned(),
        messages => format!("{messages} messages were"),
    };
    format!("{channels}: {}; {messages} not sent", advice(error, needed))
}

/// What an installation lacks, as Slack's markup. It has to be installed again.
pub(crate) fn of_installation<S: AsRef<str>>(has_token: bool, scopes: &[S]) -> Vec<String> {
    let is_missing = |scope: &&str| !scopes.iter().any(|has| has.as_ref() == *scope);
    let missing: Vec<String> = SCOPES.into_iter().filter(is_missing).map(code).collect();
    let mut lacks = Vec::new();
    if !missing.is_empty() {
        lacks.push(format!("the app lacks the scopes {}", missing.join(", ")));
    }
    if !has_token {
        lacks.push("the app was installed before it could notify, or its token is gone".to_owned());
    }
    lacks
}

impl Integration {
    /// What its installation lacks.
    pub(crate) fn lacks(&self) -> Vec<String> {
        of_installation(self.has_token, &self.scopes)
    }

    pub(crate) fn needs_reinstallation(&self) -> bool {
        !self.lacks().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_TROUBLES, of_installation, troubled};
    use crate::database::Trouble;
    use crate::settings::SCOPES;

    #[test]
    fn an_installation_says_what_it_lacks() {
        assert_eq!(of_installation(true, &SCOPES), [""; 0]);
        let lacks = of_installation::<&str>(false, &[]);
        assert_eq!(lacks.len(), 2);
        assert!(lacks[0].contains("lacks the scopes `"), "{lacks:?}");
    }

    #[test]
    fn troubles_that_are_not_shown_are_counted() {
        let troubles = |count: usize| -> Vec<Trouble> {
            let trouble = |number| Trouble {
                channel: format!("#c{number}"),
                error: "is_archived".to_owned(),
                needed: None,
                failures: 1,
            };
            (0..count).map(trouble).collect()
        };
        let shown = troubled(&troubles(MOST_TROUBLES));
        assert_eq!(
            shown.lines().filter(|line| line.contains(":x:")).count(),
            MOST_TROUBLES
        );
        assert!(!shown.contains("more"), "{shown}");
        let shown = troubled(&troubles(MOST_TROUBLES + 3));
        assert!(shown.ends_with("\n… and 3 channels more"), "{shown}");
    }
}
