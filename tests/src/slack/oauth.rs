//! OAuth v2: the consent page, and the exchange of its code.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::request::Request;
use super::token::Issued;
use super::world::World;

/// How long a code is valid.
const CODE_LIFE: Duration = Duration::from_secs(600);

/// The bot scopes that are useful here.
const BOT_SCOPES: [&str; 20] = [
    "app_mentions:read",
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "chat:write.customize",
    "chat:write.public",
    "commands",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "incoming-webhook",
    "links:read",
    "links:write",
    "reactions:write",
    "team:read",
    "users:read",
    "users:read.email",
];

/// The user's decision on the consent page.
#[derive(Clone, Debug, Default)]
pub enum Decision {
    /// Approves for the workspace named in the address, otherwise for the first one, as its first user.
    #[default]
    ApproveFirst,
    /// Approves for this workspace (or a whole organization, by its id) as this user.
    Approve { tenant: String, user: String },
    /// Cancels.
    Deny,
}

/// A code that has not been exchanged yet.
#[derive(Debug)]
pub(crate) struct Code {
    tenant: String,
    user: String,
    scopes: Vec<String>,
    redirect_uri: String,
    expires_at: SystemTime,
    is_used: bool,
}

impl World {
    /// The consent page: approves or cancels immediately and redirects. Without a redirect address it shows the reason.
    pub(crate) fn authorize(&mut self, request: &Request) -> Result<String, Answer> {
        let fail = |error: &str| Answer::text(400, error);
        if request.text("client_id").as_deref() != Some(&*self.app.client_id) {
            return Err(fail("invalid_client_id"));
        }
        let redirect_uri = request
            .text("redirect_uri")
            .or_else(|| self.app.redirect_urls.first().cloned())
            .ok_or_else(|| fail("bad_redirect_uri"))?;
        if !self.leads_to(&redirect_uri) {
            return Err(fail("bad_redirect_uri"));
        }
        let state = request.text("state");
        let scopes: Vec<String> = request
            .text("scope")
            .iter()
            .flat_map(|list| list.split([',', ' ']))
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        if scopes.is_empty() {
            return Err(fail("no_scopes"));
        }
        if let Some(unknown) = scopes
            .iter()
            .find(|scope| !BOT_SCOPES.contains(&scope.as_str()))
        {
            return Err(fail(&format!("invalid_scope: {unknown}")));
        }
        let Some((tenant, user)) = self.consent(request.text("team").as_deref()) else {
            return Ok(address(
                &redirect_uri,
                &[
                    ("error", Some("access_denied")),
                    ("state", state.as_deref()),
                ],
            ));
        };
        let code = self.code(&tenant, &user, scopes, &redirect_uri);
        Ok(address(
            &redirect_uri,
            &[("code", Some(&code)), ("state", state.as_deref())],
        ))
    }

    /// A code as the page of consent gives it.
    pub(crate) fn code(
        &mut self,
        tenant: &str,
        user: &str,
        scopes: Vec<String>,
        redirect_uri: &str,
    ) -> String {
        let text = format!("code.{:08}", self.number());
        let code = Code {
            tenant: tenant.to_owned(),
            user: user.to_owned(),
            scopes,
            redirect_uri: redirect_uri.to_owned(),
            expires_at: self.now() + CODE_LIFE,
            is_used: false,
        };
        self.codes.insert(text.clone(), code);
        text
    }

    /// Who approves, and for what.
    fn consent(&self, team: Option<&str>) -> Option<(String, String)> {
        match &self.decision {
            Decision::Deny => None,
            Decision::Approve { tenant, user } => Some((tenant.clone(), user.clone())),
            Decision::ApproveFirst => {
                let tenant = team
                    .filter(|team| self.workspaces.contains_key(*team))
                    .or_else(|| self.workspaces.keys().next().map(String::as_str))?;
                let user = self
                    .users
                    .values()
                    .find(|user| user.tenant == tenant && !user.is_bot)?;
                Some((tenant.to_owned(), user.id.clone()))
            }
        }
    }

    fn leads_to(&self, uri: &str) -> bool {
        if !self.app.redirect_urls.is_empty() {
            let mut known = self.app.redirect_urls.iter();
            return known.any(|url| uri.starts_with(url.as_str()));
        }
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
            let rest = ["http://", "https://"]
                .iter()
                .find_map(|scheme| uri.strip_prefix(scheme)?.strip_prefix(host));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?']))
        })
    }

    /// The app's own credentials, by HTTP Basic or as arguments.
    pub(crate) fn check_client(&self, request: &Request) -> Result<(), Refusal> {
        let (id, secret) = match &request.basic {
            Some((id, secret)) => (Some(id.clone()), Some(secret.clone())),
            None => (request.text("client_id"), request.text("client_secret")),
        };
        if id.as_deref() != Some(&*self.app.client_id) {
            return Err(Refusal::new("invalid_client_id"));
        }
        if secret.as_deref() != Some(&*self.app.client_secret) {
            return Err(Refusal::new("bad_client_secret"));
        }
        Ok(())
    }

    /// `oauth.v2.access`.
    pub(crate) fn access(&mut self, request: &Request) -> Result<Value, Refusal> {
        self.check_client(request)?;
        match request.text("grant_type").as_deref() {
            None | Some("authorization_code") => self.exchange(request),
            Some("refresh_token") => self.refresh(request),
            Some(_) => Err(Refusal::new("invalid_grant_type")),
        }
    }

    fn exchange(&mut self, request: &Request) -> Result<Value, Refusal> {
        let now = self.now();
        let text = request
            .text("code")
            .ok_or_else(|| Refusal::new("invalid_code"))?;
        let code = self
            .codes
            .get_mut(&text)
            .filter(|code| !code.is_used && now < code.expires_at)
            .ok_or_else(|| Refusal::new("invalid_code"))?;
        if request.text("redirect_uri").as_deref() != Some(&*code.redirect_uri) {
            return Err(Refusal::new("bad_redirect_uri"));
        }
        code.is_used = true;
        let (tenant, user) = (code.tenant.clone(), code.user.clone());
        let scopes: Vec<String> = code.scopes.clone();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        self.install(&tenant, &user, &scopes);
        let issued = self.issue(&tenant);
        let mut body = self.granted(&tenant, &issued);
        body.insert("authed_user".to_owned(), json!({ "id": user }));
        Ok(Value::Object(body))
    }

    fn refresh(&mut self, request: &Request) -> Result<Value, Refusal> {
        let invalid = || Refusal::new("invalid_refresh_token");
        let text = request.text("refresh_token").ok_or_else(invalid)?;
        let refresh = self
            .refresh_tokens
            .get_mut(&text)
            .filter(|refresh| !refresh.is_used)
            .ok_or_else(invalid)?;
        refresh.is_used = true;
        let tenant = refresh.tenant.clone();
        let issued = self.issue(&tenant);
        Ok(Value::Object(self.granted(&tenant, &issued)))
    }

    fn granted(&self, tenant: &str, issued: &Issued) -> Map<String, Value> {
        let Some(installation) = self.installations.get(tenant) else {
            return Map::new();
        };
        let scopes: Vec<&str> = installation.scopes.iter().map(String::as_str).collect();
        let mut body = Map::from_iter([
            ("app_id".to_owned(), json!(self.app.id)),
            ("access_token".to_owned(), json!(issued.access_token)),
            ("token_type".to_owned(), json!(self.app.token_type)),
            ("scope".to_owned(), json!(scopes.join(","))),
            ("bot_user_id".to_owned(), json!(installation.bot_user_id)),
            ("team".to_owned(), self.team_json(tenant)),
            ("enterprise".to_owned(), self.enterprise_json(tenant)),
            (
                "is_enterprise_install".to_owned(),
                json!(installation.is_org_wide),
            ),
        ]);
        if let (Some(life), Some(refresh)) = (issued.expires_in, &issued.refresh_token) {
            body.insert("expires_in".to_owned(), json!(life));
            body.insert("refresh_token".to_owned(), json!(refresh));
        }
        body
    }

    /// `apps.uninstall`.
    pub(crate) fn uninstall_by_app(
        &mut self,
        tenant: &str,
        request: &Request,
    ) -> Result<Value, Refusal> {
        self.check_client(request)?;
        self.uninstall(tenant);
        Ok(json!({}))
    }
}

/// An address with more parameters in its query.
fn address(base: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let joint = if base.contains('?') { '&' } else { '?' };
    format!("{base}{joint}{}", query.finish())
}
