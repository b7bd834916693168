package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// TestTheForecastInAnOutage: with Kafka away, what status and metrics say of the time that is left comes true. How exact it
// is over a week is tested in package buffer; here the buffer is tiny and lasts for hours.
func TestTheForecastInAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.maxSize = 1 << 20
		w.start()
		time.Sleep(5 * time.Minute)
		w.sever(true)
		cut := time.Now()
		told := map[time.Duration]float64{} // seconds left, by the age of the outage
		for len(w.gateway.Status().Buffer.LastGaps) == 0 {
			left := w.gateway.Status().Buffer.Forecast
			if left == nil {
				t.Fatalf("no forecast after %v", time.Since(cut))
			}
			told[time.Since(cut)] = *left
			if time.Since(cut) > 24*time.Hour {
				t.Fatal("nothing is dropped in a day")
			}
			time.Sleep(5 * time.Minute)
		}
		end := time.Since(cut)
		t.Logf("telemetry was dropped after %v; forecasts: %v", end, told)
		for at, left := range told {
			off := at.Seconds() + left - end.Seconds()
			if at > 30*time.Minute && max(off, -off) > 0.1*(end-at).Seconds()+600 {
				t.Errorf("after %v %.2f hours were left, and it was %.2f", at, left/3600, (end - at).Hours())
			}
		}
		var page strings.Builder
		if err := w.gateway.Metrics(&page); err != nil {
			t.Fatal(err)
		}
		families, err := (&expfmt.TextParser{}).TextToMetricFamilies(strings.NewReader(page.String()))
		if err != nil {
			t.Fatal(err)
		}
		if families["glasshouse_buffer_forecast_seconds"] == nil || families["glasshouse_buffer_gaps_total"].Metric[0].GetCounter().GetValue() < 1 {
			t.Error("the metrics tell of no forecast or of no gap")
		}
		if gap := w.gateway.Status().Buffer.LastGaps[0]; gap.Topic != contract.TopicTelemetry || gap.Count == 0 || gap.Damage || gap.Number != 1 {
			t.Errorf("the gap is told as %+v", gap)
		}
		w.halt()
	})
}
