/* LD_PRELOAD stand-in for a V4L2 capture device (no kernel module needed): opening /dev/fakevideo0 gives a
 * single-planar streaming camera with MJPEG/JPEG and YUYV at one resolution.
 *  FAKEV4L2_RES=1280x720 FAKEV4L2_FPS=30 FAKEV4L2_DIR=dir-of-frames (DIR_SIZE/f000.jpg … for JPEG, DIR_yuyv_WxH.raw for YUYV)
 *  FAKEV4L2_SIZE=50000  FAKEV4L2_UNPLUG_AFTER=N FAKEV4L2_STALL_AFTER=N  (fault injection: after N frames give ENODEV / never wake again)
 *  FAKEV4L2_CONTROLS=FILE: the camera has controls (see `controls` below), and each value that is set is added to FILE as a line
 *  `name=value`.
 * Every JPEG holds a COM segment 'CAMTS:<16 digits of epoch µs>' which is rewritten at dequeue time.
 * build: cc -O2 -fPIC -shared -o fakev4l2.so fakev4l2.c -ldl -lpthread */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#define NB 32
static unsigned char isf[65536]; static int nopen;
#define FAKE(fd) ((fd) >= 0 && (fd) < 65536 && isf[fd])
static int fake = -1, nb, W = 1280, H = 720, nfr, on; static uint32_t fmt = V4L2_PIX_FMT_MJPEG, seq; static double fps = 30;
static struct { unsigned char *p; size_t len; int queued; uint64_t order; } b[NB]; static uint64_t ord; static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct { unsigned char *p; size_t n; long ts; } fr[512]; static unsigned char *raw; static size_t rawn; static int nraw; static long unplug = -1, stall = -1;
static int (*r_open)(const char *, int, ...); static int (*r_ioctl)(int, unsigned long, ...); static void *(*r_mmap)(void *, size_t, int, int, int, off_t); static int (*r_close)(int);
static void init(void) { if (r_open) return; r_open = dlsym(RTLD_NEXT, "open64"); r_ioctl = dlsym(RTLD_NEXT, "ioctl"); r_mmap = dlsym(RTLD_NEXT, "mmap64"); r_close = dlsym(RTLD_NEXT, "close"); }
static void load(void) {
  static int loaded; if (loaded++) return; char *e; if ((e = getenv("FAKEV4L2_RES"))) sscanf(e, "%dx%d", &W, &H); if ((e = getenv("FAKEV4L2_FPS"))) fps = atof(e); if ((e = getenv("FAKEV4L2_UNPLUG_AFTER"))) unplug = atol(e); if ((e = getenv("FAKEV4L2_STALL_AFTER"))) stall = atol(e);
  const char *d = getenv("FAKEV4L2_DIR"), *s = getenv("FAKEV4L2_SIZE"); char p[4096]; if (nfr || !d) return;
  for (int i = 0; i < 512; i++) { snprintf(p, sizeof p, "%s_%s/f%03d.jpg", d, s ? s : "0", i); FILE *f = fopen(p, "rb"); if (!f) break; fseek(f, 0, 2); fr[i].n = ftell(f); rewind(f); fr[i].p = malloc(fr[i].n); if (fread(fr[i].p, 1, fr[i].n, f) != fr[i].n) { fclose(f); break; } fclose(f);
    void *q = memmem(fr[i].p, fr[i].n < 400 ? fr[i].n : 400, "CAMTS:", 6); fr[i].ts = q ? (unsigned char *)q - fr[i].p + 6 : -1; nfr = i + 1; }
  snprintf(p, sizeof p, "%s_yuyv_%dx%d.raw", d, W, H); FILE *f = fopen(p, "rb"); if (f) { fseek(f, 0, 2); rawn = ftell(f); rewind(f); raw = malloc(rawn); if (fread(raw, 1, rawn, f) != rawn) rawn = 0; fclose(f); nraw = rawn / ((size_t)W * H * 2); }
  fprintf(stderr, "fakev4l2: %dx%d %.1f fps, %d jpeg frames, %d raw frames\n", W, H, fps, nfr, nraw); }
static int do_open(const char *path, int fl, mode_t m) { init(); if (!strcmp(path, "/dev/fakevideo0")) { pthread_mutex_lock(&mu); load(); int t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | ((fl & O_NONBLOCK) ? TFD_NONBLOCK : 0)); if (unplug >= 0 && seq >= unplug && !getenv("FAKEV4L2_REPLUG")) { r_close(t); pthread_mutex_unlock(&mu); errno = ENOENT; return -1; } if (unplug >= 0 && seq >= unplug) unplug = -1; if (!nopen) on = 0; fake = t; isf[t] = 1; nopen++; pthread_mutex_unlock(&mu); return t; } return r_open(path, fl, m); }
int open(const char *p, int fl, ...) { va_list a; va_start(a, fl); mode_t m = (fl & (O_CREAT | O_TMPFILE)) ? va_arg(a, mode_t) : 0; va_end(a); return do_open(p, fl, m); }
int open64(const char *p, int fl, ...) { va_list a; va_start(a, fl); mode_t m = (fl & (O_CREAT | O_TMPFILE)) ? va_arg(a, mode_t) : 0; va_end(a); return do_open(p, fl, m); }
int __open_2(const char *p, int fl) { return do_open(p, fl, 0); }
int __open64_2(const char *p, int fl) { return do_open(p, fl, 0); }
static void *do_mmap(void *a, size_t l, int pr, int fl, int fd, off_t o) { init(); if (FAKE(fd)) { int i = o >> 24; if (i < 0 || i >= NB) { errno = EINVAL; return MAP_FAILED; } void *p = r_mmap(NULL, l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); b[i].p = p; b[i].len = l; return p; } return r_mmap(a, l, pr, fl, fd, o); }
void *mmap(void *a, size_t l, int pr, int fl, int fd, off_t o) { return do_mmap(a, l, pr, fl, fd, o); }
void *mmap64(void *a, size_t l, int pr, int fl, int fd, off_t o) { return do_mmap(a, l, pr, fl, fd, o); }
int close(int fd) { init(); if (FAKE(fd)) { isf[fd] = 0; if (--nopen == 0) { fake = -1; on = 0; for (int i = 0; i < NB; i++) b[i].queued = 0; } else if (fd == fake) for (int i = 0; i < 65536; i++) if (isf[i]) { fake = i; break; } } return r_close(fd); }
int dup(int fd) { static int (*r)(int); if (!r) r = dlsym(RTLD_NEXT, "dup"); int n = r(fd); if (n >= 0 && FAKE(fd)) { isf[n] = 1; nopen++; } return n; }
static int do_fcntl(const char *name, int fd, int c, void *a) { int (*r)(int, int, ...) = dlsym(RTLD_NEXT, name); int n = r(fd, c, a); if (n >= 0 && FAKE(fd) && (c == F_DUPFD || c == F_DUPFD_CLOEXEC)) { isf[n] = 1; nopen++; } return n; }
int fcntl(int fd, int c, ...) { va_list ap; va_start(ap, c); void *a = va_arg(ap, void *); va_end(ap); return do_fcntl("fcntl", fd, c, a); }
int fcntl64(int fd, int c, ...) { va_list ap; va_start(ap, c); void *a = va_arg(ap, void *); va_end(ap); return do_fcntl("fcntl64", fd, c, a); }
static size_t bsize(void) { return fmt == V4L2_PIX_FMT_YUYV ? (size_t)W * H * 2 : 2u << 20; }
static void arm(int go) { struct itimerspec t = {0}; if (go) { t.it_interval.tv_sec = (long)(1 / fps); t.it_interval.tv_nsec = (long)(1e9 / fps) % 1000000000; t.it_value = t.it_interval; } timerfd_settime(fake, 0, &t, NULL); on = go; }
/* Controls as a UVC camera has them; names as the kernel writes them. */
static struct { uint32_t id, type; const char *name, *plain; int min, max, def, value; } controls[] = {
  { V4L2_CID_BRIGHTNESS, V4L2_CTRL_TYPE_INTEGER, "Brightness", "brightness", -64, 64, 0, 0 },
  { V4L2_CID_CONTRAST, V4L2_CTRL_TYPE_INTEGER, "Contrast", "contrast", 0, 95, 32, 32 },
  { V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CTRL_TYPE_BOOLEAN, "White Balance, Automatic", "white_balance_automatic", 0, 1, 1, 1 },
  { V4L2_CID_GAIN, V4L2_CTRL_TYPE_INTEGER, "Gain", "gain", 0, 255, 0, 0 },
  { V4L2_CID_BACKLIGHT_COMPENSATION, V4L2_CTRL_TYPE_INTEGER, "Backlight Compensation", "backlight_compensation", 0, 2, 1, 1 },
  { V4L2_CID_EXPOSURE_AUTO, V4L2_CTRL_TYPE_MENU, "Auto Exposure", "auto_exposure", 0, 3, 3, 3 },
};
#define NCONTROLS (sizeof controls / sizeof *controls)
static int control_at(uint32_t id) { for (size_t i = 0; i < NCONTROLS; i++) if (getenv("FAKEV4L2_CONTROLS") && controls[i].id == id) return i; return -1; }
static int control_after(uint32_t id) { for (size_t i = 0; i < NCONTROLS; i++) if (getenv("FAKEV4L2_CONTROLS") && controls[i].id > id) return i; return -1; }
#define FAIL(e) do { errno = e; return -1; } while (0)
static int dev_ioctl(unsigned long rq, void *a) {
  if (unplug >= 0 && seq >= (uint32_t)unplug) FAIL(ENODEV);
  switch ((uint32_t)rq) {
  case (uint32_t)VIDIOC_QUERYCAP: { struct v4l2_capability *c = a; memset(c, 0, sizeof *c); strcpy((char *)c->driver, "fakev4l2"); strcpy((char *)c->card, "Fake camera"); strcpy((char *)c->bus_info, "platform:fake"); c->version = 0x060000; c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT; c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS; return 0; }
  case (uint32_t)VIDIOC_ENUMINPUT: { struct v4l2_input *i = a; if (i->index) FAIL(EINVAL); strcpy((char *)i->name, "cam"); i->type = V4L2_INPUT_TYPE_CAMERA; i->status = 0; i->capabilities = 0; i->std = 0; return 0; }
  case (uint32_t)VIDIOC_G_INPUT: *(int *)a = 0; return 0; case (uint32_t)VIDIOC_S_INPUT: return *(int *)a ? (errno = EINVAL, -1) : 0;
  case (uint32_t)VIDIOC_ENUM_FMT: { struct v4l2_fmtdesc *f = a; if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || f->index > 1) FAIL(EINVAL); uint32_t i = f->index; memset((char *)f + 8, 0, sizeof *f - 8); f->flags = i ? 0 : V4L2_FMT_FLAG_COMPRESSED; f->pixelformat = i ? V4L2_PIX_FMT_YUYV : V4L2_PIX_FMT_MJPEG; strcpy((char *)f->description, i ? "YUYV 4:2:2" : "Motion-JPEG"); return 0; }
  case (uint32_t)VIDIOC_ENUM_FRAMESIZES: { struct v4l2_frmsizeenum *f = a; if (f->index) FAIL(EINVAL); f->type = V4L2_FRMSIZE_TYPE_DISCRETE; f->discrete.width = W; f->discrete.height = H; return 0; }
  case (uint32_t)VIDIOC_ENUM_FRAMEINTERVALS: { struct v4l2_frmivalenum *f = a; if (f->index) FAIL(EINVAL); f->type = V4L2_FRMIVAL_TYPE_DISCRETE; f->discrete.numerator = 1000; f->discrete.denominator = (uint32_t)(fps * 1000); return 0; }
  case (uint32_t)VIDIOC_G_FMT: case (uint32_t)VIDIOC_S_FMT: case (uint32_t)VIDIOC_TRY_FMT: { struct v4l2_format *f = a; if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) FAIL(EINVAL); uint32_t p = f->fmt.pix.pixelformat; if ((uint32_t)rq == (uint32_t)VIDIOC_G_FMT) p = fmt; else { if (p == V4L2_PIX_FMT_JPEG) p = V4L2_PIX_FMT_JPEG; else if (p != V4L2_PIX_FMT_YUYV) p = V4L2_PIX_FMT_MJPEG; if ((uint32_t)rq == (uint32_t)VIDIOC_S_FMT) fmt = p; }
    memset(&f->fmt, 0, sizeof f->fmt); f->fmt.pix.width = W; f->fmt.pix.height = H; f->fmt.pix.pixelformat = p; f->fmt.pix.field = V4L2_FIELD_NONE; f->fmt.pix.bytesperline = p == V4L2_PIX_FMT_YUYV ? W * 2 : 0; f->fmt.pix.sizeimage = p == V4L2_PIX_FMT_YUYV ? (uint32_t)(W * H * 2) : 2u << 20; f->fmt.pix.colorspace = V4L2_COLORSPACE_JPEG; return 0; }
  case (uint32_t)VIDIOC_G_PARM: case (uint32_t)VIDIOC_S_PARM: { struct v4l2_streamparm *s = a; if (s->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) FAIL(EINVAL); memset(&s->parm, 0, sizeof s->parm); s->parm.capture.capability = V4L2_CAP_TIMEPERFRAME; s->parm.capture.timeperframe.numerator = 1000; s->parm.capture.timeperframe.denominator = (uint32_t)(fps * 1000); s->parm.capture.readbuffers = 4; return 0; }
  case (uint32_t)VIDIOC_REQBUFS: { struct v4l2_requestbuffers *r = a; if (r->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || r->memory != V4L2_MEMORY_MMAP) FAIL(EINVAL); nb = r->count > NB ? NB : r->count; r->count = nb; r->capabilities = 1; for (int i = 0; i < NB; i++) b[i].queued = 0; return 0; }
  case (uint32_t)VIDIOC_QUERYBUF: { struct v4l2_buffer *v = a; if ((int)v->index >= nb) FAIL(EINVAL); v->length = bsize(); v->m.offset = v->index << 24; v->memory = V4L2_MEMORY_MMAP; v->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC; return 0; }
  case (uint32_t)VIDIOC_QBUF: { struct v4l2_buffer *v = a; if ((int)v->index >= nb) FAIL(EINVAL); b[v->index].queued = 1; b[v->index].order = ++ord; v->flags = V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_MAPPED; return 0; }
  case (uint32_t)VIDIOC_DQBUF: { struct v4l2_buffer *v = a; uint64_t n; if (!on) FAIL(EINVAL); if (read(fake, &n, 8) != 8) return -1; int k = -1; for (int i = 0; i < nb; i++) if (b[i].queued && (k < 0 || b[i].order < b[k].order)) k = i; if (k < 0) FAIL(EAGAIN);
    struct timespec t, m; clock_gettime(CLOCK_REALTIME, &t); clock_gettime(CLOCK_MONOTONIC, &m); memset(v, 0, sizeof *v); v->type = V4L2_BUF_TYPE_VIDEO_CAPTURE; v->memory = V4L2_MEMORY_MMAP; v->index = k; v->sequence = seq += n; v->field = V4L2_FIELD_NONE; v->length = b[k].len; v->m.offset = k << 24; v->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE; v->timestamp.tv_sec = m.tv_sec; v->timestamp.tv_usec = m.tv_nsec / 1000;
    if (fmt == V4L2_PIX_FMT_YUYV) { size_t fs = (size_t)W * H * 2; if (nraw) memcpy(b[k].p, raw + fs * (seq % nraw), fs); else memset(b[k].p, seq, fs); v->bytesused = fs; }
    else if (nfr) { int i = seq % nfr; if (fr[i].ts >= 0) { char z[32]; snprintf(z, sizeof z, "%016llu", (unsigned long long)t.tv_sec * 1000000ull + t.tv_nsec / 1000); memcpy(fr[i].p + fr[i].ts, z, 16); } memcpy(b[k].p, fr[i].p, fr[i].n); v->bytesused = fr[i].n; }
    b[k].queued = 0; if (stall >= 0 && seq >= (uint32_t)stall) { stall = getenv("FAKEV4L2_STALL_ONCE") ? -1 : stall; arm(0); on = 1; } return 0; }
  case (uint32_t)VIDIOC_STREAMON: arm(1); return 0; case (uint32_t)VIDIOC_STREAMOFF: arm(0); for (int i = 0; i < NB; i++) b[i].queued = 0; return 0;
  case (uint32_t)VIDIOC_G_PRIORITY: *(int *)a = V4L2_PRIORITY_DEFAULT; return 0;
  case (uint32_t)VIDIOC_QUERYCTRL: { struct v4l2_queryctrl *c = a; uint32_t id = c->id & V4L2_CTRL_ID_MASK; int i = c->id & V4L2_CTRL_FLAG_NEXT_CTRL ? control_after(id) : control_at(id); if (i < 0) FAIL(EINVAL);
    memset(c, 0, sizeof *c); c->id = controls[i].id; c->type = controls[i].type; strcpy((char *)c->name, controls[i].name); c->minimum = controls[i].min; c->maximum = controls[i].max; c->step = 1; c->default_value = controls[i].def; return 0; }
  case (uint32_t)VIDIOC_G_CTRL: { struct v4l2_control *c = a; int i = control_at(c->id); if (i < 0) FAIL(EINVAL); c->value = controls[i].value; return 0; }
  case (uint32_t)VIDIOC_S_CTRL: { struct v4l2_control *c = a; int i = control_at(c->id); if (i < 0) FAIL(EINVAL); if (c->value < controls[i].min || c->value > controls[i].max) FAIL(ERANGE); controls[i].value = c->value;
    FILE *f = fopen(getenv("FAKEV4L2_CONTROLS"), "a"); if (f) { fprintf(f, "%s=%d\n", controls[i].plain, c->value); fclose(f); } return 0; }
  case (uint32_t)VIDIOC_G_STD: case (uint32_t)VIDIOC_G_DV_TIMINGS: case (uint32_t)VIDIOC_ENUMSTD: FAIL(ENODATA);
  default: FAIL(ENOTTY); } }
int ioctl(int fd, unsigned long rq, ...) { va_list ap; va_start(ap, rq); void *a = va_arg(ap, void *); va_end(ap); init(); if (FAKE(fd)) { if ((uint32_t)rq == (uint32_t)VIDIOC_DQBUF) { /* may block */ } pthread_mutex_lock(&mu); int r = dev_ioctl(rq, a), e = errno; pthread_mutex_unlock(&mu); errno = e; return r; } return r_ioctl(fd, rq, a); }
static int fill_stat(struct stat *s) { memset(s, 0, sizeof *s); s->st_mode = S_IFCHR | 0660; s->st_rdev = makedev(81, 0); return 0; }
int stat(const char *p, struct stat *s) { static int (*r)(const char *, struct stat *); if (!strcmp(p, "/dev/fakevideo0")) return fill_stat(s); if (!r) r = dlsym(RTLD_NEXT, "stat"); return r(p, s); }
int access(const char *p, int m) { static int (*r)(const char *, int); if (!strcmp(p, "/dev/fakevideo0")) return 0; if (!r) r = dlsym(RTLD_NEXT, "access"); return r(p, m); }
int fstat(int fd, struct stat *s) { static int (*r)(int, struct stat *); if (FAKE(fd)) return fill_stat(s); if (!r) r = dlsym(RTLD_NEXT, "fstat"); return r(fd, s); }
struct stat64; static int fill64(void *s) { memset(s, 0, sizeof(struct stat)); ((struct stat *)s)->st_mode = S_IFCHR | 0660; ((struct stat *)s)->st_rdev = makedev(81, 0); return 0; }
int stat64(const char *p, struct stat64 *s) { static int (*r)(const char *, struct stat64 *); if (!strcmp(p, "/dev/fakevideo0")) return fill64(s); if (!r) r = dlsym(RTLD_NEXT, "stat64"); return r(p, s); }
int lstat64(const char *p, struct stat64 *s) { static int (*r)(const char *, struct stat64 *); if (!strcmp(p, "/dev/fakevideo0")) return fill64(s); if (!r) r = dlsym(RTLD_NEXT, "lstat64"); return r(p, s); }
int fstat64(int fd, struct stat64 *s) { static int (*r)(int, struct stat64 *); if (FAKE(fd)) return fill64(s); if (!r) r = dlsym(RTLD_NEXT, "fstat64"); return r(fd, s); }
