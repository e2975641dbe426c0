//! App Home and modals: `views.*`, and the triggers that allow opening a modal.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::block::{Surface, check_blocks, check_plain_text};
use super::request::Request;
use super::world::{Installation, World};

/// How long a trigger can open a modal, once.
const TRIGGER_LIFE: Duration = Duration::from_secs(3);

/// The largest view in bytes of JSON.
const VIEW_SIZE: usize = 250_000;

/// A user action that lets the app open a modal.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    tenant: String,
    expires_at: SystemTime,
    is_used: bool,
}

/// A user's current Home tab.
#[derive(Clone, Debug, PartialEq)]
pub struct Home {
    pub user: String,
    pub tenant: String,
    /// As the app sent it.
    pub view: Value,
    /// Changes with each publication.
    pub hash: String,
    pub publications: u32,
}

/// An open modal.
#[derive(Clone, Debug, PartialEq)]
pub struct Modal {
    pub id: String,
    pub tenant: String,
    /// The workspace of the user who sees it.
    pub team: String,
    /// As the app sent it.
    pub view: Value,
    pub hash: String,
}

impl World {
    /// A new trigger, as in commands and interactions.
    pub(crate) fn trigger(&mut self, tenant: &str) -> String {
        let text = format!("{}.{tenant}.{:08}", self.now_epoch(), self.number());
        let trigger = Trigger {
            tenant: tenant.to_owned(),
            expires_at: self.now() + TRIGGER_LIFE,
            is_used: false,
        };
        self.triggers.insert(text.clone(), trigger);
        text
    }

    fn hash(&mut self) -> String {
        format!("{}.{:08}", self.now_epoch(), self.number())
    }

    /// `views.publish`.
    pub(crate) fn publish(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let user = request.required("user_id")?;
        let view = checked_view(request, Surface::Home)?;
        let known = self.users.get(&user).filter(|found| !found.is_bot);
        let team = known
            .map(|found| found.tenant.clone())
            .filter(|team| self.covers(&installation.tenant, team))
            .ok_or_else(|| Refusal::new("user_not_found"))?;
        if !self.app.has_home {
            return Err(Refusal::new("not_enabled"));
        }
        let before = self.homes.get(&user);
        check_hash(request, before.map(|home| &*home.hash))?;
        let others = self.homes.values().filter(|home| home.user != user);
        let others = others.map(|home| (&home.tenant, &home.view));
        check_external_id(installation, &view, others)?;
        let publications = before.map_or(0, |home| home.publications) + 1;
        let home = Home {
            user: user.clone(),
            tenant: installation.tenant.clone(),
            view,
            hash: self.hash(),
            publications,
        };
        let id = format!("V0HOME{user}");
        let answer = self.view_json(installation, &team, &id, &home.view, &home.hash);
        self.homes.insert(user, home);
        Ok(json!({ "view": answer }))
    }

    /// `views.open`.
    pub(crate) fn open(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let text = request.required("trigger_id")?;
        let view = checked_view(request, Surface::Modal)?;
        let known = self.triggers.get(&text).cloned();
        let known = known
            .filter(|trigger| self.covers(&installation.tenant, &trigger.tenant))
            .ok_or_else(|| Refusal::new("invalid_trigger_id"))?;
        if known.is_used {
            return Err(Refusal::new("exchanged_trigger_id"));
        }
        if known.expires_at <= self.now() {
            return Err(Refusal::new("expired_trigger_id"));
        }
        let others = self
            .modals
            .values()
            .map(|modal| (&modal.tenant, &modal.view));
        check_external_id(installation, &view, others)?;
        if let Some(trigger) = self.triggers.get_mut(&text) {
            trigger.is_used = true;
        }
        let modal = Modal {
            id: self.id("V"),
            tenant: installation.tenant.clone(),
            team: known.tenant,
            view,
            hash: self.hash(),
        };
        let answer = self.view_json(
            installation,
            &modal.team,
            &modal.id,
            &modal.view,
            &modal.hash,
        );
        self.modals.insert(modal.id.clone(), modal);
        Ok(json!({ "view": answer }))
    }

    /// `views.update`.
    pub(crate) fn update(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let view = checked_view(request, Surface::Modal)?;
        let (id, external) = (request.text("view_id"), request.text("external_id"));
        if id.is_none() && external.is_none() {
            return Err(Refusal::missing_argument("view_id"));
        }
        let modal = self
            .modals
            .values()
            .filter(|modal| modal.tenant == installation.tenant)
            .find(|modal| match &id {
                Some(id) => modal.id == *id,
                None => {
                    modal.view.get("external_id").and_then(Value::as_str) == external.as_deref()
                }
            })
            .cloned()
            .ok_or_else(|| Refusal::new("not_found"))?;
        check_hash(request, Some(&modal.hash))?;
        let hash = self.hash();
        let answer = self.view_json(installation, &modal.team, &modal.id, &view, &hash);
        let id = modal.id.clone();
        self.modals.insert(
            id,
            Modal {
                view,
                hash,
                ..modal
            },
        );
        Ok(json!({ "view": answer }))
    }

    /// A view as Slack returns it: the app's fields and Slack's additions.
    pub(crate) fn view_json(
        &self,
        installation: &Installation,
        team: &str,
        id: &str,
        view: &Value,
        hash: &str,
    ) -> Value {
        let mut all = Map::from_iter([
            ("id".to_owned(), json!(id)),
            ("team_id".to_owned(), json!(team)),
            ("state".to_owned(), json!({ "values": {} })),
            ("hash".to_owned(), json!(hash)),
            ("previous_view_id".to_owned(), Value::Null),
            ("root_view_id".to_owned(), json!(id)),
            ("app_id".to_owned(), json!(self.app.id)),
            ("external_id".to_owned(), json!("")),
            ("callback_id".to_owned(), json!("")),
            ("private_metadata".to_owned(), json!("")),
            (
                "app_installed_team_id".to_owned(),
                json!(installation.tenant),
            ),
            ("bot_id".to_owned(), json!(installation.bot_id)),
        ]);
        if let Value::Object(fields) = view {
            all.extend(fields.clone());
        }
        Value::Object(all)
    }
}

/// An external_id is unique within an installation.
fn check_external_id<'a>(
    installation: &Installation,
    view: &Value,
    mut others: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Result<(), Refusal> {
    let id_of = |view: &Value| {
        view.get("external_id")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let Some(id) = id_of(view).filter(|id| !id.is_empty()) else {
        return Ok(());
    };
    if others
        .any(|(tenant, other)| *tenant == installation.tenant && id_of(other) == Some(id.clone()))
    {
        return Err(Refusal::new("duplicate_external_id"));
    }
    Ok(())
}

/// An update for a certain version of a view is refused for any other.
fn check_hash(request: &Request, current: Option<&str>) -> Result<(), Refusal> {
    match request.text("hash") {
        Some(hash) if Some(&*hash) != current => Err(Refusal::new("hash_conflict")),
        _ => Ok(()),
    }
}

/// The view of a call, if it follows the rules of its surface.
fn checked_view(request: &Request, surface: Surface) -> Result<Value, Refusal> {
    let refuse = |messages| Refusal::with_messages("invalid_arguments", messages);
    let view = match request.json("view") {
        Ok(Some(view @ Value::Object(_))) => view,
        Ok(None) => return Err(Refusal::missing_argument("view")),
        Ok(Some(_)) | Err(_) => {
            return Err(refuse(vec![
                "[ERROR] must be an object [json-pointer:/view]".to_owned(),
            ]));
        }
    };
    if view.to_string().len() > VIEW_SIZE {
        return Err(Refusal::new("view_too_large"));
    }
    let messages = check_view(&view, surface);
    if messages.is_empty() {
        Ok(view)
    } else {
        Err(refuse(messages))
    }
}

/// The problems with a view.
pub(crate) fn check_view(view: &Value, surface: Surface) -> Vec<String> {
    let mut messages = Vec::new();
    let mut note = |what: String| messages.push(format!("[ERROR] {what} [json-pointer:/view]"));
    let (kind, own): (&str, &[&str]) = match surface {
        Surface::Modal => (
            "modal",
            &[
                "title",
                "submit",
                "close",
                "clear_on_close",
                "notify_on_close",
                "submit_disabled",
            ],
        ),
        _ => ("home", &[]),
    };
    let common = [
        "type",
        "blocks",
        "private_metadata",
        "callback_id",
        "external_id",
    ];
    if view.get("type").and_then(Value::as_str) != Some(kind) {
        note(format!("must be a valid view type: {kind}"));
    }
    for name in view.as_object().into_iter().flat_map(Map::keys) {
        if !common.contains(&name.as_str()) && !own.contains(&name.as_str()) {
            note(format!("invalid additional property: {name}"));
        }
    }
    let texts = [
        ("private_metadata", 3000),
        ("callback_id", 255),
        ("external_id", 255),
    ];
    for (name, longest) in texts {
        let length = view
            .get(name)
            .and_then(Value::as_str)
            .map(|text| text.encode_utf16().count());
        if length.is_some_and(|length| length > longest) {
            note(format!(
                "{name} must be less than {} characters",
                longest + 1
            ));
        }
    }
    if surface == Surface::Modal {
        let has_input = view
            .get("blocks")
            .and_then(Value::as_array)
            .is_some_and(|blocks| {
                let mut kinds = blocks
                    .iter()
                    .filter_map(|block| block.get("type")?.as_str());
                kinds.any(|kind| kind == "input")
            });
        if view.get("title").is_none() {
            note("missing required field: title".to_owned());
        }
        if has_input && view.get("submit").is_none() {
            note("missing required field: submit".to_owned());
        }
        for name in ["title", "submit", "close"] {
            if let Some(text) = view.get(name) {
                messages.extend(check_plain_text(text, name, 24));
            }
        }
    }
    match view.get("blocks") {
        Some(blocks) => messages.extend(check_blocks(blocks, surface)),
        None => {
            messages.push("[ERROR] missing required field: blocks [json-pointer:/view]".to_owned())
        }
    }
    messages
}
