// The Vercel AI SDK, with its own telemetry.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { embed, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { asked, scenario, url } from "./common.mjs";

const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: "none" });
const claude = anthropic("claude-sonnet-4-5");
const on = { experimental_telemetry: { isEnabled: true }, maxRetries: 0 };
const weather = tool({
  description: "",
  inputSchema: z.object({ city: z.string() }),
  execute: async () => "Fine.",
});

const ask = (model, more = {}) => generateText({ model, prompt: asked, ...on, ...more });
const read = async (model) => {
  const { textStream } = streamText({ model, prompt: asked, ...on });
  for await (const _ of textStream);
};

await scenario("plain-openai-chat", () => ask(openai.chat("gpt-4o")));
await scenario("plain-openai-chat-stream", () => read(openai.chat("gpt-4o")));
await scenario("cached-openai-chat", () => ask(openai.chat("gpt-4o")));
await scenario("cached-openai-chat-stream", () => read(openai.chat("gpt-4o")));
await scenario("reasoning-openai-chat", () => ask(openai.chat("o4-mini")));
await scenario("tool-openai-chat", () => ask(openai.chat("gpt-4o"), { tools: { weather } }));
await scenario("error-openai-chat", () => ask(openai.chat("gpt-4o")));
await scenario("unknown-openai-chat", () => ask(openai.chat("nobody-knows-1")));
await scenario("cost-openrouter-chat", () => ask(openai.chat("openai/gpt-4o")));
await scenario("agent-openai-chat", () => ask(openai.chat("gpt-4o"), { tools: { weather }, stopWhen: stepCountIs(3) }));
await scenario("cached-openai-responses", () => ask(openai.responses("gpt-4o")));
await scenario("embeddings-openai", () => embed({ model: openai.embedding("text-embedding-3-small"), value: "Oslo", ...on }));
await scenario("plain-anthropic", () => ask(claude));
await scenario("cached-anthropic", () => ask(claude));
await scenario("written-anthropic", () => ask(claude));
await scenario("written-anthropic-stream", () => read(claude));
await scenario("hour-anthropic", () => ask(claude));
await scenario("agent-anthropic", () => ask(claude, { tools: { weather }, stopWhen: stepCountIs(3) }));
