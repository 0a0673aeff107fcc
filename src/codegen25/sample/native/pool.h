// Threads that share the tasks of one job after another. Tasks are taken one by one, so a core that
// other work keeps busy delays one task and not its share; idle threads spin a moment, then sleep.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }

  ~Pool() {
    closing_.store(true);
    publish(nullptr, nullptr, 0);
    for (auto& worker : workers_) worker.join();
  }

  int threads() const { return alone ? 1 : (int)workers_.size() + 1; }

  bool alone = false;  // let the caller do all of it

  // run(i) for i in [0, tasks), on all threads; returns when all are done.
  template <class Run>
  void each(int tasks, const Run& run) {
    if (tasks <= 1 || threads() == 1) {
      for (int i = 0; i < tasks; ++i) run(i);
      return;
    }
    publish([](const void* f, int i) { (*(const Run*)f)(i); }, &run, tasks);
    take();
    // Where other work takes the core of a thread that still has a task, give it this one.
    for (int i = 0; done_.load(std::memory_order_acquire) != (uint32_t)tasks; ++i)
      if (i < 2000) pause();
      else std::this_thread::yield();
  }

 private:
  static constexpr uint32_t MOST = (1 << 20) - 1;
  struct Job {
    void (*call)(const void*, int);
    const void* run;
  };

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
  }

  void publish(void (*call)(const void*, int), const void* run, uint64_t tasks) {
    uint64_t epoch = (ticket_.load(std::memory_order_relaxed) >> 40) + 1;
    jobs_[epoch % 2] = {call, run};
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(epoch << 40 | tasks << 20, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst)) {
      wake_.fetch_add(1);
      wake_.notify_all();
    }
  }

  // A ticket holds the job's number, its count of tasks and the next task. A task that is still open
  // keeps its job from being replaced; a late thread reads in the ticket itself that none is.
  bool take() {
    for (;;) {
      uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
      uint32_t tasks = ticket >> 20 & MOST, task = ticket & MOST;
      if (task >= tasks) return !closing_.load();
      const Job& job = jobs_[(ticket >> 40) % 2];
      job.call(job.run, (int)task);
      done_.fetch_add(1, std::memory_order_acq_rel);
    }
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      wait(seen);
      seen = ticket_.load(std::memory_order_acquire) >> 40;
      if (!take()) return;
    }
  }

  bool same(uint64_t seen) const { return ticket_.load(std::memory_order_seq_cst) >> 40 == seen; }

  void wait(uint64_t seen) {
    auto patience = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    for (int i = 0; same(seen); ++i) {
      pause();
      if (i % 64 == 63 && std::chrono::steady_clock::now() > patience) break;
    }
    asleep_.fetch_add(1, std::memory_order_seq_cst);
    for (uint32_t woken = wake_.load(); same(seen); woken = wake_.load()) wake_.wait(woken);
    asleep_.fetch_sub(1, std::memory_order_seq_cst);
  }

  std::vector<std::thread> workers_;
  Job jobs_[2] = {};
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> wake_{0};
  std::atomic<int> asleep_{0};
  std::atomic<bool> closing_{false};
};

// Whether a small pass is faster on one thread than on all: measured as it goes, since it depends on
// what else the machine does. The choice that loses is tried again now and then.
class Choice {
 public:
  template <class Run>
  void make(Pool& pool, const Run& run) {
    bool best = took_[1] < took_[0], one = calls_++ % 64 < 4 ? !best : best;
    pool.alone = one;
    auto begun = std::chrono::steady_clock::now();
    run();
    float seconds = std::chrono::duration<float>(std::chrono::steady_clock::now() - begun).count();
    pool.alone = false;
    if (one == last_) took_[one] += took_[one] > 0 ? 0.2f * (std::min(seconds, 3 * took_[one]) - took_[one]) : seconds;
    last_ = one;  // the first after a change wakes threads or puts them to sleep
  }

 private:
  float took_[2] = {0, 0};
  uint32_t calls_ = 4;
  bool last_ = false;
};
