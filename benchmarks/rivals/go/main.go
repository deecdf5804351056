// Rivals in Go.
//
//	go-rivals sdk-v1|sdk-v2|ebml-go < JOB     read the stream as the job says
//	go-rivals memory ebml-go FILE ROUNDS      parse a file that is in memory
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/at-wat/ebml-go"
	"github.com/at-wat/ebml-go/webm"
	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/kinesisvideomedia"
)

const window = 64 * 1024

func main() {
	if len(os.Args) == 5 && os.Args[1] == "memory" {
		memory(os.Args[3], os.Args[4])
		return
	}
	var work job
	check(json.NewDecoder(os.Stdin).Decode(&work))
	m := newMeter()
	switch os.Args[1] {
	case "sdk-v1":
		discard(m, getMediaV1(work.Server), work.MediaBytes)
	case "sdk-v2":
		discard(m, getMediaV2(work.Server), work.MediaBytes)
	case "ebml-go":
		body := getMediaV2(work.Server)
		m.begin()
		found := parse(body, work.Sums.Frames, m.first)
		m.end(work.MediaBytes, &found)
	default:
		panic("no such rival: " + os.Args[1])
	}
}

// The client that the SDK generates, of its last release before version 2.
func getMediaV1(s server) io.Reader {
	config := aws.NewConfig().WithRegion(s.Region).WithEndpoint(s.MediaEndpointURL).
		WithCredentials(credentials.NewStaticCredentials(s.AccessKey, s.SecretKey, ""))
	options := session.Options{Config: *config}
	if s.CA != nil {
		pem, err := os.Open(*s.CA)
		check(err)
		defer pem.Close()
		options.CustomCABundle = pem
	}
	made, err := session.NewSessionWithOptions(options)
	check(err)
	answer, err := kinesisvideomedia.New(made).GetMedia(&kinesisvideomedia.GetMediaInput{
		StreamName:    aws.String(s.Stream),
		StartSelector: &kinesisvideomedia.StartSelector{StartSelectorType: aws.String("EARLIEST")},
	})
	check(err)
	return answer.Payload
}

// What the generated client of version 2 does, by the same signer and the same HTTP client.
func getMediaV2(s server) io.Reader {
	body, err := json.Marshal(map[string]any{
		"StreamName":    s.Stream,
		"StartSelector": map[string]string{"StartSelectorType": "EARLIEST"},
	})
	check(err)
	request, err := http.NewRequest("POST", s.MediaEndpointURL+"/getMedia", bytes.NewReader(body))
	check(err)
	request.Header.Set("Content-Type", "application/json")
	hash := sha256.Sum256(body)
	keys := awsv2.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}
	check(signer.NewSigner().SignHTTP(
		context.Background(), keys, request, hex.EncodeToString(hash[:]), "kinesisvideo", s.Region, time.Now()))
	client := awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
		transport.TLSClientConfig = trust(s)
	})
	answer, err := client.Do(request)
	check(err)
	if answer.StatusCode != http.StatusOK {
		panic(answer.Status)
	}
	return answer.Body
}

func trust(s server) *tls.Config {
	if s.CA == nil {
		return nil
	}
	pem, err := os.ReadFile(*s.CA)
	check(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		panic("no certificate in " + *s.CA)
	}
	return &tls.Config{RootCAs: roots}
}

func discard(m *meter, body io.Reader, goal int64) {
	buffer := make([]byte, window)
	left := goal
	m.begin()
	for left > 0 {
		n, err := body.Read(buffer[:min(left, window)])
		m.first()
		left -= int64(n)
		if left > 0 {
			check(err)
		}
	}
	m.end(goal-left, nil)
}

// A reader that ends when it is told to: Unmarshal goes on until then.
type endable struct {
	io.Reader
	ended bool
}

func (e *endable) Read(buffer []byte) (int, error) {
	if e.ended {
		return 0, io.EOF
	}
	return e.Reader.Read(buffer)
}

// So many frames, by hooks on the two elements that matter.
func parse(media io.Reader, frames int64, first func()) sums {
	var document struct {
		Header  webm.EBMLHeader `ebml:"EBML"`
		Segment struct {
			Cluster struct {
				Timecode    uint64
				SimpleBlock ebml.Block
			}
		} `ebml:"Segment,size=unknown"`
	}
	var found sums
	var cluster int64
	source := &endable{Reader: media}
	read := func(element *ebml.Element) {
		switch element.Type {
		case ebml.ElementTimecode:
			cluster = int64(element.Value.(uint64))
		case ebml.ElementSimpleBlock:
			first()
			block := element.Value.(ebml.Block)
			data := block.Data[0]
			found.Frames++
			found.Bytes += int64(len(data))
			found.TimeNs += (cluster + int64(block.Timecode)) * 1_000_000
			found.Edges += int64(data[0]) + int64(data[len(data)-1])
			source.ended = found.Frames == frames
		}
	}
	check(ebml.Unmarshal(source, &document, ebml.WithElementReadHooks(read)))
	return found
}

func memory(path, rounds string) {
	media, err := os.ReadFile(path)
	check(err)
	count, err := strconv.Atoi(rounds)
	check(err)
	var told struct {
		Sums    sums      `json:"sums"`
		Seconds []float64 `json:"seconds"`
	}
	for range count {
		began := cpuSeconds()
		told.Sums = parse(bytes.NewReader(media), math.MaxInt64, func() {})
		told.Seconds = append(told.Seconds, cpuSeconds()-began)
	}
	answer, err := json.Marshal(told)
	check(err)
	fmt.Println(string(answer))
}
