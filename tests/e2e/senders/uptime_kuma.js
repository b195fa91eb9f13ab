// Calls Uptime Kuma's own notification provider: uptime_kuma.js URL CONTENT_TYPE
const Webhook = require("./package/server/notification-providers/webhook.js");

const [url, contentType] = process.argv.slice(2);
const monitor = { id: 3, name: "Shop [prod]", url: "https://shop.example.org", type: "http", hostname: null };

async function main() {
    const provider = new Webhook();
    const config = { webhookURL: url, webhookContentType: contentType };
    await provider.send(config, "event-service Testing");
    for (const [status, label, msg] of [[0, "🔴 Down", "connect ECONNREFUSED"], [1, "✅ Up", "200 - OK"]]) {
        const time = new Date(Date.now() - 1000 * (1 - status)).toISOString().replace("T", " ").replace("Z", "");
        const heartbeat = { monitorID: 3, status, time, msg, important: true, timezone: "Asia/Seoul" };
        await provider.send(config, `[${monitor.name}] [${label}] ${msg}`, monitor, heartbeat);
    }
}

main().catch((error) => { console.error(error); process.exit(1); });
