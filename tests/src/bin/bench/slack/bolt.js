// Bolt's own HTTP receiver, which checks signatures, and one command that answers at once.
const { App, HTTPReceiver, LogLevel } = require("@slack/bolt");

const { BOLT_COMMAND, BOLT_PATH, BOLT_PORT, BOLT_SECRET, BOLT_TEXT } = process.env;
const logLevel = LogLevel.ERROR;
const receiver = new HTTPReceiver({ signingSecret: BOLT_SECRET, endpoints: BOLT_PATH, logLevel });
// Known beforehand: with a token alone, Bolt would ask Slack whose it is.
const authorize = async () => ({ botToken: "xoxb-1", botId: "B1", botUserId: "U1" });
const app = new App({ receiver, authorize, logLevel });

app.command(BOLT_COMMAND, async ({ ack }) => {
  await ack({ response_type: "ephemeral", text: BOLT_TEXT });
});
app.start({ port: Number(BOLT_PORT), host: "127.0.0.1" });
