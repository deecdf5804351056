// libcurl and libwebm's incremental parser, every frame copied out by its Reader: WEBM ... as in job.h, or
// WEBM memory FILE ROUNDS.
#include <webm/callback.h>
#include <webm/reader.h>
#include <webm/status.h>
#include <webm/webm_parser.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "../../c/timing.h"
#include "transfer.h"

namespace {

using webm::Status;

// The bytes at hand. At their end the parser has to wait.
class Window : public webm::Reader {
 public:
  void Give(const std::uint8_t* data, std::size_t size) {
    data_ = data;
    left_ = size;
  }

  Status Read(std::size_t wanted, std::uint8_t* buffer, std::uint64_t* got) override {
    const Status status = Skip(wanted, got);
    std::memcpy(buffer, data_ - *got, *got);
    return status;
  }

  Status Skip(std::uint64_t wanted, std::uint64_t* got) override {
    *got = std::min<std::uint64_t>(wanted, left_);
    data_ += *got;
    left_ -= *got;
    position_ += *got;
    if (*got == wanted) return Status(Status::kOkCompleted);
    return Status(*got ? Status::kOkPartial : Status::kWouldBlock);
  }

  std::uint64_t Position() const override { return position_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t left_ = 0;
  std::uint64_t position_ = 0;
};

class Frames : public webm::Callback {
 public:
  sums_t sums = {};

  explicit Frames(std::uint64_t most) : most_(most) {}

  Status OnClusterBegin(const webm::ElementMetadata&, const webm::Cluster& cluster, webm::Action* action) override {
    cluster_ = static_cast<std::int64_t>(cluster.timecode.value());
    *action = webm::Action::kRead;
    return Status(Status::kOkCompleted);
  }

  Status OnSimpleBlockBegin(const webm::ElementMetadata&, const webm::SimpleBlock& block,
                            webm::Action* action) override {
    time_ = cluster_ + block.timecode;
    *action = webm::Action::kRead;
    return Status(Status::kOkCompleted);
  }

  Status OnFrame(const webm::FrameMetadata& metadata, webm::Reader* reader, std::uint64_t* remaining) override {
    if (frame_.size() < metadata.size) frame_.resize(metadata.size);
    while (*remaining) {
      std::uint64_t got;
      const Status status = reader->Read(*remaining, frame_.data() + (metadata.size - *remaining), &got);
      *remaining -= got;
      if (!status.ok()) return status;
    }
    if (sums.frames < most_) sums_add(&sums, time_ * 1'000'000, frame_.data(), metadata.size);
    return Status(Status::kOkCompleted);
  }

 private:
  const std::uint64_t most_;
  std::int64_t cluster_ = 0, time_ = 0;
  std::vector<std::uint8_t> frame_;
};

class Walk {
 public:
  explicit Walk(std::uint64_t frames) : frames_(frames) {}

  const sums_t& sums() const { return frames_.sums; }

  void Receive(const void* data, std::size_t size) {
    window_.Give(static_cast<const std::uint8_t*>(data), size);
    Status status;
    do {
      status = parser_.Feed(&frames_, &window_);
    } while (status.code == Status::kOkPartial);
    if (status.code != Status::kWouldBlock) job_fail("libwebm refuses the media");
  }

 private:
  Window window_;
  Frames frames_;
  webm::WebmParser parser_;
};

struct State {
  meter_t meter;
  std::uint64_t goal; // in frames
  Walk walk;
};

std::size_t Receive(char* data, std::size_t size, std::size_t count, void* user) {
  State* state = static_cast<State*>(user);
  if (!state->meter.began) meter_begin(&state->meter);
  state->walk.Receive(data, size * count);
  if (state->walk.sums().frames) meter_first(&state->meter);
  return state->walk.sums().frames < state->goal ? size * count : 0;
}

void Memory(const char* path, int rounds) {
  std::size_t size;
  const std::uint8_t* media = read_file(path, &size);
  std::vector<double> seconds;
  sums_t sums = {};
  for (int round = 0; round < rounds; round++) {
    const double began = cpu_seconds();
    Walk walk(UINT64_MAX);
    for (std::size_t at = 0; at < size; at += WINDOW) walk.Receive(media + at, std::min<std::size_t>(WINDOW, size - at));
    sums = walk.sums();
    seconds.push_back(cpu_seconds() - began);
  }
  printf("{\"sums\": ");
  sums_print(&sums);
  printf(", ");
  print_seconds("seconds", seconds.data(), rounds);
  printf("}\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && !std::strcmp(argv[1], "memory")) {
    Memory(argv[2], atoi(argv[3]));
    return 0;
  }
  static job_t job;
  job_read(&job, argc, argv);
  State state = {{}, job.frames, Walk(job.frames)};
  meter_ask(&state.meter);
  transfer(&job, Receive, &state);
  meter_end(&state.meter, job.media_bytes, &state.walk.sums());
  return 0;
}
