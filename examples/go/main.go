// Sends an event to a webhook's URL, again until it is stored, and lists what is there: JSON over HTTP, and nothing but
// Go's standard library.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

var (
	base   = setting("EVENT_SERVICE_HTTP", "http://127.0.0.1:8080")
	client = &http.Client{Timeout: 10 * time.Second}
)

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// post sends body as JSON and reads the answer into reply. It says whether sending again may help.
func post(url string, headers map[string]string, body, reply any) (again bool, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return false, err
	}
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return true, err
	}
	if response.StatusCode != http.StatusOK {
		again = response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= 500
		return again, fmt.Errorf("%s: %s", response.Status, answer)
	}
	return false, json.Unmarshal(answer, reply)
}

func main() {
	log.SetFlags(0)
	webhook := fmt.Sprintf("%s/monitoring/v1/webhook/%s/%s/events", base,
		os.Getenv("EVENT_SERVICE_WEBHOOK_ID"), os.Getenv("EVENT_SERVICE_ACCESS_KEY"))
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		log.Fatal(err)
	}
	// Chosen once for the event: what is sent again under it is not stored again.
	headers := map[string]string{"Idempotency-Key": fmt.Sprintf("%x", key)}
	event := map[string]any{"event_key": "pool:db-1", "title": "Connection pool is empty", "severity": "ERROR"}
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		again, err := post(webhook, headers, event, &map[string]any{})
		if err == nil {
			break
		}
		if !again || pause > 10*time.Second {
			log.Fatal(err)
		}
		time.Sleep(pause)
	}

	var page struct {
		Results []struct {
			EventID   string `json:"event_id"`
			Title     string `json:"title"`
			CreatedAt string `json:"created_at"`
		} `json:"results"`
		TotalCount int `json:"total_count"`
	}
	query := map[string]any{"event_key": "pool:db-1", "query": map[string]any{"page": map[string]any{"limit": 5}}}
	reader := map[string]string{}
	if token := os.Getenv("EVENT_SERVICE_TOKEN"); token != "" {
		reader["Authorization"] = "Bearer " + token
	}
	if _, err := post(base+"/monitoring/v1/event/list", reader, query, &page); err != nil {
		log.Fatal(err)
	}
	for _, found := range page.Results {
		fmt.Println(found.CreatedAt, found.EventID, found.Title)
	}
	fmt.Println(page.TotalCount, "events")
}
