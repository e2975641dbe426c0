//! A form of settings that is open in Slack.

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::filled_in;
use lockstep_tests::slack::wrong_in_modal;
use serde_json::{Value, json};

use crate::notification::app::Scene;
use crate::slack::sdk::found;

/// An open form, and what its fields contain.
pub(super) struct Form {
    pub(super) view: Value,
    pub(super) values: Value,
}

impl Form {
    pub(super) fn open(scene: &mut Scene, user: &str) -> Result<Self> {
        let view = scene.open_settings(user)?.pop().context("no modal")?;
        Self::of(view, &Value::Null)
    }

    /// A view that Slack accepts, in place of one with these values.
    pub(super) fn of(view: Value, before: &Value) -> Result<Self> {
        assert_eq!(wrong_in_modal(&view), [""; 0], "{view}");
        let wrong = found(&[json!({ "kind": "modal", "value": view })])?;
        assert_eq!(wrong, [[""; 0]], "{view}");
        Ok(Self {
            values: filled_in(&view, before),
            view,
        })
    }

    /// The block of a field, which changes with what was saved.
    pub(super) fn block(&self, field: &str) -> Result<String> {
        let start = format!("{field}.");
        let blocks = self.values.as_object().into_iter().flatten();
        let mut blocks = blocks.filter(|(block, _)| block.starts_with(&start));
        let (block, _) = blocks.next().with_context(|| format!("no field {field}"))?;
        Ok(block.clone())
    }

    /// What a field has, which has a line for each thing.
    pub(super) fn lines(&self, field: &str) -> Result<Value> {
        let block = self.block(field)?;
        Ok(self.values[&block][field]["value"].clone())
    }

    pub(super) fn type_lines(&mut self, field: &str, text: &str) -> Result<()> {
        let block = self.block(field)?;
        self.values[&block][field]["value"] = json!(text);
        Ok(())
    }

    pub(super) fn choose(&mut self, which: &str) -> Result<()> {
        let block = self.block("all_routes")?;
        self.values[&block]["all_routes"]["selected_option"] = json!({ "value": which });
        Ok(())
    }

    /// Leaves out what is confidential, which a new channel of the form would get.
    pub(super) fn only_pushes(&mut self) {
        self.values["events"]["events"]["selected_options"] = json!([{ "value": "push" }]);
    }

    pub(super) fn save(&self, scene: &mut Scene, user: &str) -> Result<Value> {
        scene.save(user, &self.view, &self.values)
    }

    /// The form that takes its place, because somebody else was first.
    pub(super) fn overtaken(&self, scene: &mut Scene, user: &str) -> Result<Self> {
        let answer = self.save(scene, user)?;
        assert_eq!(answer["response_action"], "update", "{answer}");
        let view = answer["view"].clone();
        let first = view["blocks"][0].to_string();
        ensure!(
            first.contains("The routes or reminders have changed meanwhile"),
            "{first}"
        );
        Self::of(view, &self.values)
    }
}
