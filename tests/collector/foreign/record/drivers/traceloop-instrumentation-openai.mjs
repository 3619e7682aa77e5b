// OpenLLMetry on OpenAI's SDK for JavaScript.
import { OpenAIInstrumentation } from "@traceloop/instrumentation-openai";
import { OpenAI } from "openai";
import { asked, provider, scenario, url } from "./common.mjs";

const instrumentation = new OpenAIInstrumentation();
instrumentation.setTracerProvider(provider);
instrumentation.manuallyInstrument(OpenAI);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });

const ask = (model = "gpt-4o", more = {}) =>
  client.chat.completions.create({ model, messages: [{ role: "user", content: asked }], ...more });
const read = async (more = {}) => {
  for await (const _ of await ask("gpt-4o", { stream: true, ...more }));
};
const parameters = { type: "object", properties: { city: { type: "string" } } };
const weather = { type: "function", function: { name: "weather", description: "", parameters } };

await scenario("plain-openai-chat", () => ask());
await scenario("plain-openai-chat-stream", () => read({ stream_options: { include_usage: true } }));
await scenario("plain-openai-chat-stream-without-usage", () => read());
await scenario("cached-openai-chat", () => ask());
await scenario("cached-openai-chat-stream", () => read({ stream_options: { include_usage: true } }));
await scenario("reasoning-openai-chat", () => ask("o4-mini"));
await scenario("tool-openai-chat", () => ask("gpt-4o", { tools: [weather] }));
await scenario("error-openai-chat", () => ask());
await scenario("unknown-openai-chat", () => ask("nobody-knows-1"));
await scenario("cost-openrouter-chat", () => ask("openai/gpt-4o"));
