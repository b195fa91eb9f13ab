// Sends an event to a webhook's URL, again until it is stored, and lists what is there: JSON over HTTP, and nothing but
// Java's standard library (11 or newer).

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.UUID;

public class Events {
    private static final HttpClient CLIENT =
            HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
    private static final String BASE = setting("EVENT_SERVICE_HTTP", "http://127.0.0.1:8080");

    public static void main(String[] arguments) throws Exception {
        String webhook = String.format(
                "%s/monitoring/v1/webhook/%s/%s/events",
                BASE, setting("EVENT_SERVICE_WEBHOOK_ID", ""), setting("EVENT_SERVICE_ACCESS_KEY", ""));
        String event = "{\"event_key\": \"heap:shop\", \"title\": \"Heap is almost full\", \"severity\": \"WARNING\"}";
        // Chosen once for the event: what is sent again under it is not stored again.
        HttpRequest delivery =
                post(webhook, event).header("Idempotency-Key", UUID.randomUUID().toString()).build();
        for (long pause = 100; ; pause *= 2) {
            String problem;
            try {
                HttpResponse<String> answer = CLIENT.send(delivery, HttpResponse.BodyHandlers.ofString());
                if (answer.statusCode() == 200) {
                    break;
                }
                problem = answer.statusCode() + ": " + answer.body();
                if (answer.statusCode() != 429 && answer.statusCode() < 500) {
                    throw new IllegalStateException(problem);
                }
            } catch (IOException error) {
                problem = error.toString();
            }
            if (pause > 10_000) {
                throw new IllegalStateException(problem);
            }
            Thread.sleep(pause);
        }

        String query = "{\"event_key\": \"heap:shop\", \"query\": {\"page\": {\"limit\": 5}}}";
        HttpRequest.Builder list = post(BASE + "/monitoring/v1/event/list", query);
        String token = setting("EVENT_SERVICE_TOKEN", "");
        if (!token.isEmpty()) {
            list.header("Authorization", "Bearer " + token);
        }
        HttpResponse<String> page = CLIENT.send(list.build(), HttpResponse.BodyHandlers.ofString());
        if (page.statusCode() != 200) {
            throw new IllegalStateException(page.statusCode() + ": " + page.body());
        }
        System.out.println(page.body());
    }

    private static HttpRequest.Builder post(String url, String body) {
        return HttpRequest.newBuilder(URI.create(url))
                .timeout(Duration.ofSeconds(10))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body));
    }

    private static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }
}
