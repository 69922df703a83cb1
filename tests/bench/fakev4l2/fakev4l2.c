/*
 * A V4L2 camera without a kernel module.
 *
 * Loaded with LD_PRELOAD, this library answers for /dev/fakevideo0: a single-planar streaming camera that gives
 * Motion-JPEG or YUYV at one resolution. GStreamer's v4l2src and ustreamer take it for a real one.
 *
 *   FAKEV4L2_RES=1280x720     resolution
 *   FAKEV4L2_FPS=30           frames per second
 *   FAKEV4L2_DIR=PREFIX       where the pictures are, as make_frames.py writes them:
 *   FAKEV4L2_SIZE=50000         PREFIX_SIZE/f000.jpg, f001.jpg, ... and PREFIX_yuyv_WIDTHxHEIGHT.raw
 *
 * Faults, counted in frames since the process began:
 *   FAKEV4L2_UNPLUG_AFTER=N   then every call fails with ENODEV and opening with ENOENT;
 *   FAKEV4L2_REPLUG=1           the next opening succeeds, and the camera stays
 *   FAKEV4L2_STALL_AFTER=N    then no frame ever comes again, in silence;
 *   FAKEV4L2_STALL_ONCE=1       until the stream is started anew
 *
 * Where a JPEG holds a comment "CAMTS:" followed by 16 digits, the digits become the time of capture in microseconds
 * since 1970, so that latency can be measured from the camera to the viewer.
 *
 * The device is a timerfd: it becomes readable once a frame, so that poll and select need no help. Only one program
 * at a time may stream, from any number of duplicates of the descriptor, as with a real camera.
 *
 * Build: cc -O2 -Wall -Wextra -fPIC -shared -o fakev4l2.so fakev4l2.c -ldl -lpthread
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
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

#define DEVICE "/dev/fakevideo0"
#define MAX_FDS 65536
#define MAX_BUFFERS 32
#define MAX_PICTURES 512
#define JPEG_BUFFER_SIZE (2u << 20)
#define MARK "CAMTS:"
#define MARK_LENGTH 6
/* The comment is the first segment of a picture. */
#define MARK_WITHIN 400
/* mmap offsets name buffers: buffer i is at i << OFFSET_SHIFT. */
#define OFFSET_SHIFT 24

struct buffer {
    unsigned char *data;
    size_t size;
    bool queued;
    uint64_t order; /* buffers are filled in the order in which they were queued */
};

struct picture {
    unsigned char *data;
    size_t size;
    long stamp; /* where the 16 digits are, or -1 */
};

/* Everything below is protected by `lock`, except `is_device`, which is only a hint for descriptors of others. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_device[MAX_FDS];
static int open_count;
static int timer = -1; /* one of the open descriptors; all of them share one timer */

static int width = 1280, height = 720;
static double fps = 30;
static long unplug_after = -1, stall_after = -1;

static struct picture pictures[MAX_PICTURES];
static int picture_count;
static unsigned char *raw_frames;
static int raw_count;

static struct buffer buffers[MAX_BUFFERS];
static int buffer_count;
static uint64_t next_order;
static uint32_t format = V4L2_PIX_FMT_MJPEG;
static uint32_t sequence;
static bool streaming;

/* The functions that this library stands in front of. */

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static int (*real_ioctl)(int, unsigned long, ...);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

static void find_real_functions(void)
{
    if (real_open)
        return;
    real_close = dlsym(RTLD_NEXT, "close");
    real_ioctl = dlsym(RTLD_NEXT, "ioctl");
    real_mmap = dlsym(RTLD_NEXT, "mmap64");
    real_open = dlsym(RTLD_NEXT, "open64");
}

static bool is_fake(int fd)
{
    return fd >= 0 && fd < MAX_FDS && is_device[fd];
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* Pictures. */

static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    unsigned char *data = NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        rewind(file);
        if (length > 0)
            data = malloc(length);
        if (data && fread(data, 1, length, file) != (size_t)length) {
            free(data);
            data = NULL;
        }
        *size = length;
    }
    fclose(file);
    return data;
}

static size_t raw_size(void)
{
    return (size_t)width * height * 2;
}

static void load_pictures(const char *prefix, const char *size)
{
    char path[4096];
    while (picture_count < MAX_PICTURES) {
        struct picture *picture = &pictures[picture_count];
        snprintf(path, sizeof path, "%s_%s/f%03d.jpg", prefix, size, picture_count);
        picture->data = read_file(path, &picture->size);
        if (!picture->data || picture->size > JPEG_BUFFER_SIZE)
            break;
        size_t within = picture->size < MARK_WITHIN ? picture->size : MARK_WITHIN;
        unsigned char *mark = memmem(picture->data, within, MARK, MARK_LENGTH);
        picture->stamp = mark ? mark - picture->data + MARK_LENGTH : -1;
        picture_count++;
    }
    size_t bytes = 0;
    snprintf(path, sizeof path, "%s_yuyv_%dx%d.raw", prefix, width, height);
    raw_frames = read_file(path, &bytes);
    raw_count = raw_frames ? bytes / raw_size() : 0;
}

static void read_environment(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    const char *value;
    if ((value = getenv("FAKEV4L2_RES")) && sscanf(value, "%dx%d", &width, &height) != 2)
        fprintf(stderr, "fakev4l2: FAKEV4L2_RES=%s is not WIDTHxHEIGHT\n", value);
    if ((value = getenv("FAKEV4L2_FPS")) && atof(value) > 0)
        fps = atof(value);
    if ((value = getenv("FAKEV4L2_UNPLUG_AFTER")))
        unplug_after = atol(value);
    if ((value = getenv("FAKEV4L2_STALL_AFTER")))
        stall_after = atol(value);
    const char *size = getenv("FAKEV4L2_SIZE");
    if ((value = getenv("FAKEV4L2_DIR")))
        load_pictures(value, size ? size : "0");
    fprintf(stderr, "fakev4l2: %dx%d, %.1f fps, %d jpeg frames, %d raw frames\n", width, height, fps, picture_count,
            raw_count);
}

/* Faults. */

static bool is_unplugged(void)
{
    return unplug_after >= 0 && sequence >= unplug_after;
}

static bool is_stalled(void)
{
    return stall_after >= 0 && sequence >= stall_after;
}

/* Opening and closing. */

static int open_device(int flags)
{
    read_environment();
    if (is_unplugged()) {
        if (!getenv("FAKEV4L2_REPLUG"))
            return fail(ENOENT);
        unplug_after = -1;
    }
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | (flags & O_NONBLOCK ? TFD_NONBLOCK : 0));
    if (fd < 0)
        return -1;
    if (fd >= MAX_FDS) {
        real_close(fd);
        return fail(EMFILE);
    }
    if (open_count++ == 0)
        streaming = false;
    is_device[fd] = true;
    timer = fd;
    return fd;
}

static int open_any(const char *path, int flags, mode_t mode)
{
    find_real_functions();
    if (strcmp(path, DEVICE) != 0)
        return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = open_device(flags);
    pthread_mutex_unlock(&lock);
    return fd;
}

static void forget_queue(void)
{
    for (int i = 0; i < MAX_BUFFERS; i++)
        buffers[i].queued = false;
}

static void close_device(int fd)
{
    is_device[fd] = false;
    if (--open_count == 0) {
        timer = -1;
        streaming = false;
        forget_queue();
    } else if (fd == timer) {
        for (timer = 0; timer < MAX_FDS - 1 && !is_device[timer]; timer++)
            ;
    }
}

static void note_duplicate(int of, int fd)
{
    if (fd < 0 || fd >= MAX_FDS || !is_fake(of))
        return;
    pthread_mutex_lock(&lock);
    is_device[fd] = true;
    open_count++;
    pthread_mutex_unlock(&lock);
}

/* What the device says about itself. */

static int query_capabilities(struct v4l2_capability *answer)
{
    memset(answer, 0, sizeof *answer);
    strcpy((char *)answer->driver, "fakev4l2");
    strcpy((char *)answer->card, "Fake camera");
    strcpy((char *)answer->bus_info, "platform:fake");
    answer->version = 0x060000;
    answer->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    answer->capabilities = answer->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enumerate_input(struct v4l2_input *input)
{
    if (input->index != 0)
        return fail(EINVAL);
    strcpy((char *)input->name, "camera");
    input->type = V4L2_INPUT_TYPE_CAMERA;
    input->status = 0;
    input->capabilities = 0;
    input->std = 0;
    return 0;
}

static int enumerate_format(struct v4l2_fmtdesc *answer)
{
    if (answer->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || answer->index > 1)
        return fail(EINVAL);
    bool jpeg = answer->index == 0;
    uint32_t index = answer->index;
    memset(answer, 0, sizeof *answer);
    answer->index = index;
    answer->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    answer->flags = jpeg ? V4L2_FMT_FLAG_COMPRESSED : 0;
    answer->pixelformat = jpeg ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
    strcpy((char *)answer->description, jpeg ? "Motion-JPEG" : "YUYV 4:2:2");
    return 0;
}

static int enumerate_frame_size(struct v4l2_frmsizeenum *answer)
{
    if (answer->index != 0)
        return fail(EINVAL);
    answer->type = V4L2_FRMSIZE_TYPE_DISCRETE;
    answer->discrete.width = width;
    answer->discrete.height = height;
    return 0;
}

static struct v4l2_fract frame_interval(void)
{
    return (struct v4l2_fract){ .numerator = 1000, .denominator = (uint32_t)(fps * 1000) };
}

static int enumerate_frame_interval(struct v4l2_frmivalenum *answer)
{
    if (answer->index != 0)
        return fail(EINVAL);
    answer->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    answer->discrete = frame_interval();
    return 0;
}

static uint32_t buffer_size(uint32_t of)
{
    return of == V4L2_PIX_FMT_YUYV ? raw_size() : JPEG_BUFFER_SIZE;
}

/* VIDIOC_G_FMT, VIDIOC_S_FMT and VIDIOC_TRY_FMT: as drivers do, what cannot be had becomes what can. */
static int negotiate_format(uint32_t request, struct v4l2_format *answer)
{
    if (answer->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    uint32_t wanted = format;
    if (request != VIDIOC_G_FMT) {
        wanted = answer->fmt.pix.pixelformat;
        if (wanted != V4L2_PIX_FMT_JPEG && wanted != V4L2_PIX_FMT_YUYV)
            wanted = V4L2_PIX_FMT_MJPEG;
    }
    if (request == VIDIOC_S_FMT)
        format = wanted;
    memset(&answer->fmt, 0, sizeof answer->fmt);
    answer->fmt.pix.width = width;
    answer->fmt.pix.height = height;
    answer->fmt.pix.pixelformat = wanted;
    answer->fmt.pix.field = V4L2_FIELD_NONE;
    answer->fmt.pix.bytesperline = wanted == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
    answer->fmt.pix.sizeimage = buffer_size(wanted);
    answer->fmt.pix.colorspace = V4L2_COLORSPACE_JPEG;
    return 0;
}

static int stream_parameters(struct v4l2_streamparm *answer)
{
    if (answer->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    memset(&answer->parm, 0, sizeof answer->parm);
    answer->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    answer->parm.capture.timeperframe = frame_interval();
    answer->parm.capture.readbuffers = 4;
    return 0;
}

/* Streaming. */

static void run_timer(bool on)
{
    struct itimerspec period = { 0 };
    if (on) {
        period.it_interval.tv_sec = (long)(1 / fps);
        period.it_interval.tv_nsec = (long)(1e9 / fps) % 1000000000;
        period.it_value = period.it_interval;
    }
    timerfd_settime(timer, 0, &period, NULL);
}

static int request_buffers(struct v4l2_requestbuffers *request)
{
    if (request->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || request->memory != V4L2_MEMORY_MMAP)
        return fail(EINVAL);
    buffer_count = request->count < MAX_BUFFERS ? request->count : MAX_BUFFERS;
    request->count = buffer_count;
    request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
    forget_queue();
    /* Whoever asks for buffers maps them anew. */
    for (int i = 0; i < MAX_BUFFERS; i++)
        buffers[i].data = NULL;
    return 0;
}

static int query_buffer(struct v4l2_buffer *answer)
{
    if (answer->index >= (uint32_t)buffer_count)
        return fail(EINVAL);
    answer->length = buffer_size(format);
    answer->m.offset = answer->index << OFFSET_SHIFT;
    answer->memory = V4L2_MEMORY_MMAP;
    answer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int queue_buffer(struct v4l2_buffer *request)
{
    if (request->index >= (uint32_t)buffer_count || !buffers[request->index].data)
        return fail(EINVAL);
    buffers[request->index].queued = true;
    buffers[request->index].order = ++next_order;
    request->flags = V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_MAPPED;
    return 0;
}

static int oldest_queued_buffer(void)
{
    int oldest = -1;
    for (int i = 0; i < buffer_count; i++) {
        if (buffers[i].queued && (oldest < 0 || buffers[i].order < buffers[oldest].order))
            oldest = i;
    }
    return oldest;
}

static void stamp_picture(struct picture *picture)
{
    struct timespec now;
    char digits[32];
    if (picture->stamp < 0 || picture->stamp + 16 > (long)picture->size)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(digits, sizeof digits, "%016llu", now.tv_sec * 1000000ull + now.tv_nsec / 1000);
    memcpy(picture->data + picture->stamp, digits, 16);
}

/* Writes the next picture into a buffer and returns its size. */
static size_t fill_buffer(struct buffer *buffer)
{
    if (format == V4L2_PIX_FMT_YUYV) {
        size_t size = raw_size() < buffer->size ? raw_size() : buffer->size;
        if (raw_count > 0)
            memcpy(buffer->data, raw_frames + raw_size() * (sequence % raw_count), size);
        else
            memset(buffer->data, sequence, size);
        return size;
    }
    if (picture_count == 0)
        return 0;
    struct picture *picture = &pictures[sequence % picture_count];
    if (picture->size > buffer->size)
        return 0;
    stamp_picture(picture);
    memcpy(buffer->data, picture->data, picture->size);
    return picture->size;
}

/* `ticks` is how many frames have passed since the last one that was taken. */
static int dequeue_buffer(struct v4l2_buffer *answer, uint64_t ticks)
{
    int index = oldest_queued_buffer();
    if (!streaming)
        return fail(EINVAL);
    if (index < 0)
        return fail(EAGAIN);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sequence += ticks;
    memset(answer, 0, sizeof *answer);
    answer->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    answer->memory = V4L2_MEMORY_MMAP;
    answer->index = index;
    answer->sequence = sequence;
    answer->field = V4L2_FIELD_NONE;
    answer->length = buffers[index].size;
    answer->m.offset = index << OFFSET_SHIFT;
    answer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE;
    answer->timestamp.tv_sec = now.tv_sec;
    answer->timestamp.tv_usec = now.tv_nsec / 1000;
    answer->bytesused = fill_buffer(&buffers[index]);
    buffers[index].queued = false;
    if (is_stalled()) {
        run_timer(false);
        if (getenv("FAKEV4L2_STALL_ONCE"))
            stall_after = -1;
    }
    return 0;
}

static int device_ioctl(unsigned long request, void *argument, uint64_t ticks)
{
    if (is_unplugged())
        return fail(ENODEV);
    /* Callers pass the number as a signed int, too: only its 32 bits count. */
    switch ((uint32_t)request) {
    case VIDIOC_QUERYCAP:
        return query_capabilities(argument);
    case VIDIOC_ENUMINPUT:
        return enumerate_input(argument);
    case VIDIOC_G_INPUT:
        *(int *)argument = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return *(int *)argument == 0 ? 0 : fail(EINVAL);
    case VIDIOC_ENUM_FMT:
        return enumerate_format(argument);
    case VIDIOC_ENUM_FRAMESIZES:
        return enumerate_frame_size(argument);
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return enumerate_frame_interval(argument);
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        return negotiate_format((uint32_t)request, argument);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        return stream_parameters(argument);
    case VIDIOC_REQBUFS:
        return request_buffers(argument);
    case VIDIOC_QUERYBUF:
        return query_buffer(argument);
    case VIDIOC_QBUF:
        return queue_buffer(argument);
    case VIDIOC_DQBUF:
        return dequeue_buffer(argument, ticks);
    case VIDIOC_STREAMON:
        run_timer(!is_stalled());
        streaming = true;
        return 0;
    case VIDIOC_STREAMOFF:
        run_timer(false);
        streaming = false;
        forget_queue();
        return 0;
    case VIDIOC_G_PRIORITY:
        *(int *)argument = V4L2_PRIORITY_DEFAULT;
        return 0;
    case VIDIOC_QUERYCTRL:
        return fail(EINVAL);
    case VIDIOC_G_STD:
    case VIDIOC_G_DV_TIMINGS:
    case VIDIOC_ENUMSTD:
        return fail(ENODATA);
    default:
        return fail(ENOTTY);
    }
}

/* The file that the device appears to be. */

static int fill_stat(struct stat *answer)
{
    memset(answer, 0, sizeof *answer);
    answer->st_mode = S_IFCHR | 0660;
    answer->st_rdev = makedev(81, 0);
    return 0;
}

/* From here on: the names that programs call. Each hands on what is not the device. */

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static mode_t mode_argument(int flags, va_list arguments)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_argument(flags, arguments);
    va_end(arguments);
    return open_any(path, flags, mode);
}

/* What glibc calls for open in programs built with _FORTIFY_SOURCE. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}

int close(int fd)
{
    find_real_functions();
    if (is_fake(fd)) {
        pthread_mutex_lock(&lock);
        close_device(fd);
        pthread_mutex_unlock(&lock);
    }
    return real_close(fd);
}

int dup(int fd)
{
    int duplicate = NEXT(dup)(fd);
    note_duplicate(fd, duplicate);
    return duplicate;
}

static int fcntl_any(const char *name, int fd, int command, void *argument)
{
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    int answer = real(fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        note_duplicate(fd, answer);
    return answer;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl_any("fcntl", fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return fcntl_any("fcntl64", fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    find_real_functions();
    if (!is_fake(fd))
        return real_ioctl(fd, request, argument);
    /* Waiting for the frame is the one thing that may block, so it happens outside the lock. */
    uint64_t ticks = 0;
    bool waits = (uint32_t)request == VIDIOC_DQBUF && streaming && !is_unplugged();
    if (waits && read(fd, &ticks, sizeof ticks) != sizeof ticks)
        return -1;
    pthread_mutex_lock(&lock);
    int answer = device_ioctl(request, argument, ticks);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return answer;
}

static void *map_any(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    find_real_functions();
    if (!is_fake(fd))
        return real_mmap(address, length, protection, flags, fd, offset);
    off_t index = offset >> OFFSET_SHIFT;
    if (index < 0 || index >= MAX_BUFFERS) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    void *data = real_mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        return data;
    pthread_mutex_lock(&lock);
    buffers[index].data = data;
    buffers[index].size = length;
    pthread_mutex_unlock(&lock);
    return data;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return map_any(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return map_any(address, length, protection, flags, fd, offset);
}

int access(const char *path, int mode)
{
    return strcmp(path, DEVICE) == 0 ? 0 : NEXT(access)(path, mode);
}

int stat(const char *path, struct stat *answer)
{
    return strcmp(path, DEVICE) == 0 ? fill_stat(answer) : NEXT(stat)(path, answer);
}

int lstat(const char *path, struct stat *answer)
{
    return strcmp(path, DEVICE) == 0 ? fill_stat(answer) : NEXT(lstat)(path, answer);
}

int fstat(int fd, struct stat *answer)
{
    return is_fake(fd) ? fill_stat(answer) : NEXT(fstat)(fd, answer);
}

/* On 64-bit machines struct stat64 is struct stat. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "fakev4l2 is for 64-bit machines");

int stat64(const char *path, struct stat64 *answer)
{
    return strcmp(path, DEVICE) == 0 ? fill_stat((struct stat *)answer) : NEXT(stat64)(path, answer);
}

int lstat64(const char *path, struct stat64 *answer)
{
    return strcmp(path, DEVICE) == 0 ? fill_stat((struct stat *)answer) : NEXT(lstat64)(path, answer);
}

int fstat64(int fd, struct stat64 *answer)
{
    return is_fake(fd) ? fill_stat((struct stat *)answer) : NEXT(fstat64)(fd, answer);
}

/* What Rust's standard library asks. */
int statx(int folder, const char *restrict path, int flags, unsigned int mask, struct statx *restrict answer)
{
    if (strcmp(path, DEVICE) != 0)
        return NEXT(statx)(folder, path, flags, mask, answer);
    memset(answer, 0, sizeof *answer);
    answer->stx_mask = STATX_TYPE | STATX_MODE;
    answer->stx_mode = S_IFCHR | 0660;
    answer->stx_rdev_major = 81;
    answer->stx_nlink = 1;
    return 0;
}
