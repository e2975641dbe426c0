//! The methods of the Web API: required scopes, rate limits, and effects.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::request::Request;
use super::world::{Installation, World};

/// The scope that a method needs.
fn scope_of(method: &str) -> Option<&'static str> {
    match method {
        "chat.postMessage" | "chat.postEphemeral" | "chat.update" => Some("chat:write"),
        "team.info" => Some("team:read"),
        "users.info" => Some("users:read"),
        _ => None,
    }
}

/// The result of a call: for which installation it was made, and the response.
pub(crate) struct Outcome {
    pub(crate) tenant: Option<String>,
    pub(crate) result: Result<Value, Refusal>,
}

impl World {
    /// Calls a method.
    pub(crate) fn call(&mut self, method: &str, request: &Request) -> Outcome {
        if method == "oauth.v2.access" {
            let now = self.now();
            let taken = self.limits.take(method, "", now);
            let result = taken
                .map_err(Refusal::rate_limited)
                .and_then(|()| self.access(request));
            return Outcome {
                tenant: None,
                result,
            };
        }
        match self.authenticate(request) {
            Ok(installation) => Outcome {
                tenant: Some(installation.tenant.clone()),
                result: self.call_as(&installation, method, request),
            },
            Err(refusal) => Outcome {
                tenant: None,
                result: Err(refusal),
            },
        }
    }

    fn call_as(
        &mut self,
        installation: &Installation,
        method: &str,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let now = self.now();
        self.limits
            .take(method, &installation.tenant, now)
            .map_err(Refusal::rate_limited)?;
        if let Some(needed) = scope_of(method)
            && !installation.scopes.contains(needed)
        {
            let provided: Vec<&str> = installation.scopes.iter().map(String::as_str).collect();
            return Err(Refusal::new("missing_scope")
                .with("needed", json!(needed))
                .with("provided", json!(provided.join(","))));
        }
        match method {
            "auth.test" => Ok(self.test(installation)),
            "auth.revoke" => self.revoke(installation, request),
            "apps.uninstall" => self.uninstall_by_app(&installation.tenant, request),
            "chat.postMessage" => self.post_message(installation, request),
            "chat.postEphemeral" => self.post_ephemeral(installation, request),
            "chat.update" => self.update_message(installation, request),
            "team.info" => self.team_info(installation, request),
            "users.info" => self.user_info(installation, request),
            "views.open" => self.open(installation, request),
            "views.publish" => self.publish(installation, request),
            "views.update" => self.update(installation, request),
            _ => Err(Refusal::new("unknown_method").with("req_method", json!(method))),
        }
    }

    fn test(&self, installation: &Installation) -> Value {
        let tenant = &installation.tenant;
        let enterprise = self.enterprise_of(tenant);
        let workspace = self.workspaces.get(tenant);
        let name = workspace
            .map(|found| &found.name)
            .or(enterprise.map(|found| &found.name));
        json!({
            "url": format!("{}/", self.base_url),
            "team": name,
            "user": "lockstep",
            "team_id": tenant,
            "user_id": installation.bot_user_id,
            "bot_id": installation.bot_id,
            "enterprise_id": enterprise.map(|found| &found.id),
            "is_enterprise_install": installation.is_org_wide,
        })
    }

    fn team_info(&self, installation: &Installation, request: &Request) -> Result<Value, Refusal> {
        let id = request
            .text("team")
            .unwrap_or_else(|| installation.tenant.clone());
        let workspace = self
            .workspaces
            .get(&id)
            .filter(|_| self.covers(&installation.tenant, &id))
            .ok_or_else(|| Refusal::new("team_not_found"))?;
        let enterprise = self.enterprise_of(&id);
        Ok(json!({ "team": {
            "id": workspace.id,
            "name": workspace.name,
            "domain": workspace.domain,
            "url": format!("https://{}.slack.com/", workspace.domain),
            "enterprise_id": enterprise.map(|found| &found.id),
            "enterprise_name": enterprise.map(|found| &found.name),
        }}))
    }

    fn user_info(&self, installation: &Installation, request: &Request) -> Result<Value, Refusal> {
        let id = request.required("user")?;
        let user = self
            .users
            .get(&id)
            .filter(|user| self.covers(&installation.tenant, &user.tenant))
            .ok_or_else(|| Refusal::new("user_not_found"))?;
        Ok(json!({ "user": {
            "id": user.id,
            "team_id": user.tenant,
            "name": user.name,
            "real_name": user.name,
            "deleted": false,
            "is_bot": user.is_bot,
            "is_app_user": false,
            "is_admin": false,
            "is_owner": false,
            "tz": "Etc/UTC",
            "profile": { "display_name": user.name, "real_name": user.name },
        }}))
    }
}
