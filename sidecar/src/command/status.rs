//! How a project, group or instance is connected to the workspace.

use std::fmt::Write;

use super::given::{Answering, Command, Given};
use super::state::App;
use crate::database::{Integration, Which};
use crate::error::complain;
use crate::followed::follower_lines;
use crate::http::path::INSTALL;
use crate::settings::PublicUrl;
use crate::slack::{Reply, code, escape, shorten};
use crate::text::capitalized;
use crate::trouble::troubled;

pub(super) const COMMAND: Command = Command {
    name: "status",
    usage: "<alias> status` shows what a project notifies of here, what is missing, and to those who manage it who follows it",
    run: status,
};

/// Without an alias, this many are listed.
const MOST: i32 = 20;

/// An alias may have thousands of characters.
const LONGEST: usize = 200;

fn status<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let tenant = given.slash.owner.tenant();
        let alias = given.alias.as_deref();
        let (which, most) = match alias {
            Some(alias) => (Which::Alias(alias), 1),
            None => (Which::All, MOST + 1),
        };
        let found = app.database.integrations(tenant, which, most).await?;
        let slash = &given.slash.command;
        Ok(match (alias, found.as_slice()) {
            (Some(alias), []) => not_found(alias, slash),
            (None, []) => nothing(&app.public_url),
            (Some(_), [integration, ..]) | (None, [integration]) => {
                let mut text = in_full(&app.public_url, integration);
                if integration.has_trouble {
                    let troubles = app.database.channel_troubles(tenant, integration.id);
                    text.push_str(&troubled(&troubles.await?));
                }
                text.push_str(&followers(app, given, integration).await);
                Reply::new(text)
            }
            (None, several) => Reply::new(listed(several, slash)),
        })
    })
}

/// The channels that follow the project, if the user manages it. The status is true without them, too, so it does not fail with
/// this question: meanwhile the integration may have gone.
async fn followers(app: &App, given: &Given, integration: &Integration) -> String {
    if !integration.has_followers {
        return String::new();
    }
    let (tenant, user) = (given.slash.owner.tenant(), given.slash.user.as_str());
    let is_manager = app.managers.contains(user);
    let found = app
        .database
        .followers(tenant, integration.id, user, is_manager, MOST + 1);
    let found = match found.await {
        Ok(found) => found,
        Err(error) => {
            complain!(error, "followers are not shown");
            return String::new();
        }
    };
    let shown = &found[..found.len().min(MOST as usize)];
    let more = match found.len() > shown.len() {
        true => "… and more",
        false => "",
    };
    match found.is_empty() {
        true => String::new(),
        false => format!("\n*Followed by*\n{}{more}", follower_lines(shown)),
    }
}

pub(super) fn not_found(alias: &str, slash: &str) -> Reply {
    Reply::new(format!(
        "No project or group with the alias {} is connected to this workspace. {} lists those that are.",
        code(&shorten(alias, 100)),
        code(&format!("{slash} status")),
    ))
}

fn nothing(public_url: &PublicUrl) -> Reply {
    Reply::new(format!(
        "No project is connected to this workspace. Maintainers connect it in its settings; if the app is not installed here, \
         <{}|add it to Slack> first.",
        public_url.page(INSTALL)
    ))
}

fn in_full(public_url: &PublicUrl, integration: &Integration) -> String {
    let mut text = format!("*{}*", escape(&shorten(&integration.alias, LONGEST)));
    // Writing to a String never fails.
    if let Some(path) = &integration.path
        && *path != integration.alias
    {
        let path = shorten(path, LONGEST);
        let _ = write!(text, " ({} {})", integration.owner, escape(&path));
    }
    text.push_str(match integration.is_active {
        true => "\n:white_check_mark: Active",
        false => "\n:double_vertical_bar: Switched off: nobody is notified",
    });
    let events = integration.known_events();
    let _ = match events.is_empty() {
        true => write!(
            text,
            "\n:bell: Notifies of nothing yet: choose events in its settings"
        ),
        false => write!(text, "\n:bell: Notifies of {}", events.join(", ")),
    };
    let lacks = integration.lacks();
    for it in &lacks {
        let _ = write!(text, "\n:warning: {}", capitalized(it));
    }
    match !lacks.is_empty() {
        true => {
            let _ = write!(
                text,
                "\n:arrows_counterclockwise: <{}|Install it again>",
                public_url.page(INSTALL)
            );
        }
        false => text.push_str("\n:key: All scopes are granted"),
    }
    text
}

fn listed(integrations: &[Integration], slash: &str) -> String {
    let shown = &integrations[..integrations.len().min(MOST as usize)];
    let lines = shown.iter().map(|integration| {
        let state = match (integration.is_active, integration.needs_reinstallation()) {
            (_, true) => ":arrows_counterclockwise: has to be installed again",
            (true, false) => ":white_check_mark: active",
            (false, false) => ":double_vertical_bar: switched off",
        };
        format!("• {} {state}\n", code(&shorten(&integration.alias, 100)))
    });
    let more = match integrations.len() > shown.len() {
        true => "… and more\n",
        false => "",
    };
    format!(
        "*Connected to this workspace*\n{}{more}{} shows more about one.",
        lines.collect::<String>(),
        code(&format!("{slash} <alias> status")),
    )
}
