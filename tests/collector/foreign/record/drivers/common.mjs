// What the drivers share: a tracer provider that exports to the recorder's server, and scenarios.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

export const url = process.argv[2];
export const asked = "Weather in Oslo?";
export const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "recorded" }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${url}/v1/traces` }))],
});
provider.register();

export async function scenario(name, call) {
  await fetch(`${url}/begin/${name}`, { method: "POST", body: "{}" });
  try {
    await call();
  } catch (error) {
    if (!name.startsWith("error")) throw error;
  }
  await provider.forceFlush();
}
