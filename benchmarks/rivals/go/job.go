package main

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What the runner says on stdin, and what it wants to hear on stdout: see job.py.

type sums struct {
	Frames int64 `json:"frames"`
	Bytes  int64 `json:"bytes"`
	TimeNs int64 `json:"time_ns"`
	Edges  int64 `json:"edges"`
}

type server struct {
	MediaEndpointURL string  `json:"media_endpoint_url"`
	Region           string  `json:"region"`
	AccessKey        string  `json:"access_key"`
	SecretKey        string  `json:"secret_key"`
	CA               *string `json:"ca"`
	Stream           string  `json:"stream"`
}

type job struct {
	Server     server `json:"server"`
	MediaBytes int64  `json:"media_bytes"`
	Sums       sums   `json:"sums"`
}

type outcome struct {
	CPU       float64 `json:"cpu_s"`
	Wall      float64 `json:"wall_s"`
	First     float64 `json:"first_s"`
	Base      int64   `json:"base_bytes"`
	Peak      int64   `json:"peak_bytes"`
	ReadBytes int64   `json:"read_bytes"`
	Sums      *sums   `json:"sums"`
}

func (o *outcome) print() {
	check(json.NewEncoder(os.Stdout).Encode(o))
}

// A meter is made before the request; begin and end stand around the reading.
type meter struct {
	outcome
	asked, began time.Time
	cpuAtBegin   float64
}

func newMeter() *meter { return &meter{asked: time.Now()} }

func (m *meter) begin() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forget the peak of before, see proc(5)
	m.Base = resident("VmRSS:")
	m.began = time.Now()
	m.cpuAtBegin = cpuSeconds()
}

func (m *meter) first() {
	if m.First == 0 {
		m.First = time.Since(m.asked).Seconds()
	}
}

func (m *meter) end(read int64, found *sums) {
	m.CPU = cpuSeconds() - m.cpuAtBegin
	m.Wall = time.Since(m.began).Seconds()
	m.Peak = resident("VmHWM:")
	m.ReadBytes, m.Sums = read, found
	m.print()
}

// User and system time of all threads: the collector's work counts.
func cpuSeconds() float64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func resident(field string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, after, _ := strings.Cut(string(status), field)
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	check(err)
	return kib * 1024
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
