//! Who may do what, and where.

use super::environment::{Environment, Name};
use super::given::Given;
use super::page::Answer;
use crate::error::complain;
use crate::http::note_failure;
use crate::slack::code;

/// Only configured users, and members of the group.
pub(super) async fn check_may(given: &Given<'_>) -> Result<(), Answer> {
    let settings = &given.app.settings;
    let user = &given.slash.user;
    if settings.users.contains(&given.giver()) {
        return Ok(());
    }
    let Some(group) = &settings.group else {
        return Err(Answer::text(
            ":no_entry: You may not give commands here, so nothing was done. The app's operator can allow you with `--chatops-user`.",
        ));
    };
    let tenant = given.slash.owner.tenant();
    match given
        .app
        .database
        .is_chatops_member(tenant, user, group)
        .await
    {
        Ok(true) => Ok(()),
        Ok(false) => Err(Answer::text(format!(
            ":no_entry: You may not give commands here, so nothing was done. Members of the group {} may, once they have linked their \
             account with Slack.",
            code(group)
        ))),
        Err(error) => {
            complain!(error, "membership cannot be looked up");
            note_failure();
            Err(Answer::text(format!(
                ":warning: Your membership in the group {} cannot be checked at the moment, so nothing was done.",
                code(group)
            )))
        }
    }
}

/// Production may only be changed in the channels where people expect it.
pub(super) fn check_channel(given: &Given<'_>, environments: &[Environment]) -> Result<(), Answer> {
    let is_production = environments.iter().any(|it| it.name == Name::Production);
    let channels = &given.app.settings.production_channels;
    if !is_production || channels.contains(&given.place()) {
        return Ok(());
    }
    // Slack shows channels of another workspace to nobody here.
    let here = channels
        .iter()
        .filter(|it| it.team == given.slash.owner.team);
    let mut here: Vec<String> = here.map(|it| format!("<#{}>", it.id)).collect();
    here.sort();
    let channels = match here.is_empty() {
        true => "a channel of another workspace".to_owned(),
        false => here.join(" or "),
    };
    Err(Answer::text(format!(
        ":no_entry: Nothing was changed: production can only be changed in {channels}. For another environment add its option, such as `--staging`."
    )))
}
