// The platform's side of Kafka: reads topics from the start to the end with kafkajs, as its services do, and checks each
// event with Zod 3. One JSON line a record: topic, partition, offset, key, headers, value, and what Zod has against it.
//
// The schemas are the platform's own. environment.alert: Event-Driven Architecture & Kafka Events 1.0, 3.1 and 4.3.1.
// device.*: the IoT hub's move to Kafka, new architecture 1 and 2, with the members that its library checks.
//
//   node platform.mjs BROKER CA USER GROUP TOPIC…      $PASSWORD, $NODE_PACKAGES
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.NODE_PACKAGES, "package.json"));
const { Kafka, logLevel } = require("kafkajs");
const { z } = require("zod");

const [broker, ca, username, groupId, ...topics] = process.argv.slice(2);

// Seed: 3.1 Base Event Schema
const BaseEventSchema = z.object({
  eventId: z.string().uuid(),
  eventType: z.string().min(1),
  eventVersion: z
    .string()
    .regex(/^\d+\.\d+$/)
    .default("1.0"),
  timestamp: z.string().datetime(),
  correlationId: z.string().uuid(),
  causationId: z.string().uuid().optional(),
  source: z.string().min(1),
  userId: z.string().uuid().optional(),
  sessionId: z.string().uuid().optional(),
  auditContext: z
    .object({
      ipAddress: z.string().ip().optional(),
      userAgent: z.string().optional(),
      complianceFlags: z.array(z.string()).default([]),
    })
    .optional(),
});

// Seed: 4.3.1 Environmental Alert
const EnvironmentalAlertEventSchema = BaseEventSchema.extend({
  eventType: z.literal("environment.alert"),
  payload: z.object({
    alertId: z.string().uuid(),
    facilityId: z.string().uuid(),
    zone: z.string(),
    alertType: z.enum(["temperature", "humidity", "vpd", "co2", "light", "ph", "ec", "water_level"]),
    severity: z.enum(["info", "warning", "critical", "emergency"]),
    currentValue: z.number(),
    expectedRange: z.object({ min: z.number(), max: z.number(), unit: z.string() }),
    deviation: z.number(),
    sensorId: z.string().uuid(),
    triggeredAt: z.string().datetime(),
    autoCorrection: z
      .object({
        attempted: z.boolean(),
        successful: z.boolean().optional(),
        actions: z.array(z.string()).optional(),
      })
      .optional(),
    affectedBatches: z.array(z.string().uuid()).optional(),
  }),
});

// Seed: BaseKafkaEventSchema
const BaseKafkaEventSchema = z.object({
  eventType: z.string(),
  correlationId: z.string().uuid(),
  timestamp: z.union([z.string().datetime(), z.number().int().positive()]),
  source: z.object({
    type: z.enum(["device", "backend", "user", "system"]),
    id: z.string(),
    version: z.string().optional(),
  }),
  __version: z.string().default("v1"),
});

const DeviceIdSchema = z.string().min(1);
const event = (eventType, payload) =>
  BaseKafkaEventSchema.extend({ eventType: z.literal(eventType), payload: z.object({ deviceId: DeviceIdSchema, ...payload }) });
const DeviceStatusSchema = z.enum(["online", "offline", "error", "sleep", "maintenance"]);

const schemas = {
  "environment.alert": EnvironmentalAlertEventSchema,
  "device.telemetry.received": event("device.telemetry.received", {
    receivedAt: z.string().datetime(),
    telemetryType: z.enum(["sensors", "status", "diagnostics", "location"]),
    data: z.object({
      temperature: z.number().optional(),
      humidity: z.number().optional(),
      pressure: z.number().optional(),
      analogInputs: z.array(z.object({ id: z.string(), value: z.number(), unit: z.string().optional() })).optional(),
      discreteInputs: z.array(z.object({ id: z.string(), state: z.boolean() })).optional(),
      batteryLevel: z.number().min(0).max(100).optional(),
      signalStrength: z.number().optional(),
      uptime: z.number().optional(),
      memoryUsage: z.number().optional(),
      cpuUsage: z.number().optional(),
      errorCount: z.number().optional(),
      latitude: z.number().optional(),
      longitude: z.number().optional(),
      altitude: z.number().optional(),
      custom: z.record(z.any()).optional(),
    }),
    metadata: z
      .object({
        protocol: z.enum(["mqtt", "coap", "http", "lora"]),
        qos: z.number().int().min(0).max(2).optional(),
        retain: z.boolean().optional(),
        topic: z.string().optional(),
      })
      .optional(),
  }),
  "device.registered": event("device.registered", {
    manufacturerId: z.string(),
    model: z.string(),
    firmwareVersion: z.string(),
    hardwareRevision: z.string().optional(),
    serialNumber: z.string().optional(),
    capabilities: z.array(z.string()).default([]),
    registeredBy: z.enum(["manufacturer", "system", "admin"]),
    registeredAt: z.string().datetime(),
    metadata: z.record(z.any()).optional(),
  }),
  "device.status.changed": event("device.status.changed", {
    previousStatus: DeviceStatusSchema,
    currentStatus: DeviceStatusSchema,
    changedAt: z.string().datetime(),
    reason: z.string().optional(),
    metadata: z
      .object({
        lastSeen: z.string().datetime().optional(),
        batteryLevel: z.number().min(0).max(100).optional(),
        signalStrength: z.number().optional(),
        temperature: z.number().optional(),
      })
      .optional(),
  }),
  "device.alert.raised": event("device.alert.raised", {
    alertId: z.string(),
    alertType: z.enum(["threshold", "connectivity", "battery", "error", "security", "maintenance"]),
    severity: z.enum(["low", "medium", "high", "critical"]),
    title: z.string(),
    description: z.string(),
    raisedAt: z.string().datetime(),
    triggerValue: z.number().optional(),
    thresholdValue: z.number().optional(),
    metadata: z.record(z.any()).optional(),
  }),
  "device.alert.resolved": event("device.alert.resolved", {
    alertId: z.string(),
    resolvedAt: z.string().datetime(),
    resolvedBy: z.enum(["system", "user", "device"]),
    resolutionReason: z.string().optional(),
    userId: z.string().uuid().optional(),
  }),
};

// check returns what the platform would have against an event, or nothing.
function check(text) {
  const value = JSON.parse(text);
  const schema = schemas[value.eventType];
  if (!schema) return `the platform knows no event ${value.eventType}`;
  const parsed = schema.safeParse(value);
  if (!parsed.success) return parsed.error.issues.map((i) => `${i.path.join(".")}: ${i.message}`).join("; ");
  if (parsed.data.__version !== undefined && parsed.data.__version !== "v1") return `unsupported version ${parsed.data.__version}`;
}

const kafka = new Kafka({
  clientId: "platform",
  brokers: [broker],
  ssl: { ca: [readFileSync(ca, "utf-8")] },
  sasl: { mechanism: "scram-sha-256", username, password: process.env.PASSWORD },
  retry: { retries: 5 },
  requestTimeout: 30000,
  connectionTimeout: 10000,
  logLevel: logLevel.ERROR,
});

const admin = kafka.admin();
await admin.connect();
const left = new Map(); // partitions that have records still to come, and the last offset
for (const topic of topics) {
  for (const { partition, high, low } of await admin.fetchTopicOffsets(topic)) {
    if (BigInt(high) > BigInt(low)) left.set(`${topic}/${partition}`, BigInt(high) - 1n);
  }
}
await admin.disconnect();

const consumer = kafka.consumer({ groupId });
await consumer.connect();
await consumer.subscribe({ topics, fromBeginning: true });
let done;
const finished = new Promise((resolve) => (done = resolve));
if (left.size === 0) done();
consumer.on(consumer.events.CRASH, ({ payload }) => {
  console.error(`the consumer crashed: ${payload.error}`);
  process.exit(1);
});
await consumer.run({
  eachMessage: async ({ topic, partition, message }) => {
    const value = message.value.toString();
    const headers = Object.fromEntries(Object.entries(message.headers).map(([key, v]) => [key, v.toString()]));
    const line = { topic, partition, offset: Number(message.offset), key: message.key?.toString(), headers, value, error: check(value) };
    process.stdout.write(JSON.stringify(line) + "\n");
    const name = `${topic}/${partition}`;
    if (left.has(name) && BigInt(message.offset) >= left.get(name)) left.delete(name);
    if (left.size === 0) done();
  },
});
await finished;
await consumer.disconnect();
