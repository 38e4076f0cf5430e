// Written by scripts/embed-web. The content comes from Web/ at compile time (#embed of C23).
#pragma clang diagnostic ignored "-Wc23-extensions"

#include "CWebFiles.h"

static const uint8_t file_0[] = {
#embed "../../Web/base/bytes.js"
};
static const uint8_t file_1[] = {
#embed "../../Web/base/deadlines.js"
};
static const uint8_t file_2[] = {
#embed "../../Web/base/link.js"
};
static const uint8_t file_3[] = {
#embed "../../Web/base/mailbox.js"
};
static const uint8_t file_4[] = {
#embed "../../Web/graph.js"
};
static const uint8_t file_5[] = {
#embed "../../Web/gun/client.js"
};
static const uint8_t file_6[] = {
#embed "../../Web/gun/graph.js"
};
static const uint8_t file_7[] = {
#embed "../../Web/gun/hash.js"
};
static const uint8_t file_8[] = {
#embed "../../Web/gun/held-graph.js"
};
static const uint8_t file_9[] = {
#embed "../../Web/gun/link-state.js"
};
static const uint8_t file_10[] = {
#embed "../../Web/gun/member-queue.js"
};
static const uint8_t file_11[] = {
#embed "../../Web/gun/outbox.js"
};
static const uint8_t file_12[] = {
#embed "../../Web/gun/user-space.js"
};
static const uint8_t file_13[] = {
#embed "../../Web/invite.js"
};
static const uint8_t file_14[] = {
#embed "../../Web/member/admission.js"
};
static const uint8_t file_15[] = {
#embed "../../Web/member/conversations.js"
};
static const uint8_t file_16[] = {
#embed "../../Web/member/engine.js"
};
static const uint8_t file_17[] = {
#embed "../../Web/member/keeping.js"
};
static const uint8_t file_18[] = {
#embed "../../Web/member/mail.js"
};
static const uint8_t file_19[] = {
#embed "../../Web/member/member.js"
};
static const uint8_t file_20[] = {
#embed "../../Web/member/mesh.js"
};
static const uint8_t file_21[] = {
#embed "../../Web/member/neighbour.js"
};
static const uint8_t file_22[] = {
#embed "../../Web/member/prekeys.js"
};
static const uint8_t file_23[] = {
#embed "../../Web/member/presence.js"
};
static const uint8_t file_24[] = {
#embed "../../Web/member/relay-path.js"
};
static const uint8_t file_25[] = {
#embed "../../Web/member/runs.js"
};
static const uint8_t file_26[] = {
#embed "../../Web/member/seen-signals.js"
};
static const uint8_t file_27[] = {
#embed "../../Web/member/signaling.js"
};
static const uint8_t file_28[] = {
#embed "../../Web/page/app.js"
};
static const uint8_t file_29[] = {
#embed "../../Web/page/chat.js"
};
static const uint8_t file_30[] = {
#embed "../../Web/page/elements.js"
};
static const uint8_t file_31[] = {
#embed "../../Web/page/history.js"
};
static const uint8_t file_32[] = {
#embed "../../Web/page/icon.svg"
};
static const uint8_t file_33[] = {
#embed "../../Web/page/index.html"
};
static const uint8_t file_34[] = {
#embed "../../Web/page/map.js"
};
static const uint8_t file_35[] = {
#embed "../../Web/page/panels.js"
};
static const uint8_t file_36[] = {
#embed "../../Web/page/status.css"
};
static const uint8_t file_37[] = {
#embed "../../Web/page/status.html"
};
static const uint8_t file_38[] = {
#embed "../../Web/page/status.js"
};
static const uint8_t file_39[] = {
#embed "../../Web/page/style.css"
};
static const uint8_t file_40[] = {
#embed "../../Web/page/swarm.css"
};
static const uint8_t file_41[] = {
#embed "../../Web/payload.js"
};
static const uint8_t file_42[] = {
#embed "../../Web/receipts.js"
};
static const uint8_t file_43[] = {
#embed "../../Web/requests.js"
};
static const uint8_t file_44[] = {
#embed "../../Web/sealing/derivation.js"
};
static const uint8_t file_45[] = {
#embed "../../Web/sealing/envelope.js"
};
static const uint8_t file_46[] = {
#embed "../../Web/sealing/hpke.js"
};
static const uint8_t file_47[] = {
#embed "../../Web/sealing/keys.js"
};
static const uint8_t file_48[] = {
#embed "../../Web/sealing/mail.js"
};
static const uint8_t file_49[] = {
#embed "../../Web/sealing/presence.js"
};
static const uint8_t file_50[] = {
#embed "../../Web/sealing/session-cipher.js"
};
static const uint8_t file_51[] = {
#embed "../../Web/sealing/signal.js"
};
static const uint8_t file_52[] = {
#embed "../../Web/sealing/topic.js"
};
static const uint8_t file_53[] = {
#embed "../../Web/session/byte-stream.js"
};
static const uint8_t file_54[] = {
#embed "../../Web/session/control.js"
};
static const uint8_t file_55[] = {
#embed "../../Web/session/due.js"
};
static const uint8_t file_56[] = {
#embed "../../Web/session/exchanges.js"
};
static const uint8_t file_57[] = {
#embed "../../Web/session/frame.js"
};
static const uint8_t file_58[] = {
#embed "../../Web/session/inbound.js"
};
static const uint8_t file_59[] = {
#embed "../../Web/session/lane.js"
};
static const uint8_t file_60[] = {
#embed "../../Web/session/lanes.js"
};
static const uint8_t file_61[] = {
#embed "../../Web/session/mail.js"
};
static const uint8_t file_62[] = {
#embed "../../Web/session/outbound.js"
};
static const uint8_t file_63[] = {
#embed "../../Web/session/path-state.js"
};
static const uint8_t file_64[] = {
#embed "../../Web/session/rate.js"
};
static const uint8_t file_65[] = {
#embed "../../Web/session/requests.js"
};
static const uint8_t file_66[] = {
#embed "../../Web/session/scheduler.js"
};
static const uint8_t file_67[] = {
#embed "../../Web/session/session.js"
};
static const uint8_t file_68[] = {
#embed "../../Web/signaling/connection.js"
};
static const uint8_t file_69[] = {
#embed "../../Web/signaling/negotiation.js"
};
static const uint8_t file_70[] = {
#embed "../../Web/storage/slot.js"
};
static const uint8_t file_71[] = {
#embed "../../Web/storage/store.js"
};
static const uint8_t file_72[] = {
#embed "../../Web/streams.js"
};
static const uint8_t file_73[] = {
#embed "../../Web/swarm-space.js"
};
static const uint8_t file_74[] = {
#embed "../../Web/tracker/client.js"
};

static const struct web_file files[] = {
    {"/base/bytes.js", file_0, sizeof file_0},
    {"/base/deadlines.js", file_1, sizeof file_1},
    {"/base/link.js", file_2, sizeof file_2},
    {"/base/mailbox.js", file_3, sizeof file_3},
    {"/graph.js", file_4, sizeof file_4},
    {"/gun/client.js", file_5, sizeof file_5},
    {"/gun/graph.js", file_6, sizeof file_6},
    {"/gun/hash.js", file_7, sizeof file_7},
    {"/gun/held-graph.js", file_8, sizeof file_8},
    {"/gun/link-state.js", file_9, sizeof file_9},
    {"/gun/member-queue.js", file_10, sizeof file_10},
    {"/gun/outbox.js", file_11, sizeof file_11},
    {"/gun/user-space.js", file_12, sizeof file_12},
    {"/invite.js", file_13, sizeof file_13},
    {"/member/admission.js", file_14, sizeof file_14},
    {"/member/conversations.js", file_15, sizeof file_15},
    {"/member/engine.js", file_16, sizeof file_16},
    {"/member/keeping.js", file_17, sizeof file_17},
    {"/member/mail.js", file_18, sizeof file_18},
    {"/member/member.js", file_19, sizeof file_19},
    {"/member/mesh.js", file_20, sizeof file_20},
    {"/member/neighbour.js", file_21, sizeof file_21},
    {"/member/prekeys.js", file_22, sizeof file_22},
    {"/member/presence.js", file_23, sizeof file_23},
    {"/member/relay-path.js", file_24, sizeof file_24},
    {"/member/runs.js", file_25, sizeof file_25},
    {"/member/seen-signals.js", file_26, sizeof file_26},
    {"/member/signaling.js", file_27, sizeof file_27},
    {"/page/app.js", file_28, sizeof file_28},
    {"/page/chat.js", file_29, sizeof file_29},
    {"/page/elements.js", file_30, sizeof file_30},
    {"/page/history.js", file_31, sizeof file_31},
    {"/page/icon.svg", file_32, sizeof file_32},
    {"/page/index.html", file_33, sizeof file_33},
    {"/page/map.js", file_34, sizeof file_34},
    {"/page/panels.js", file_35, sizeof file_35},
    {"/page/status.css", file_36, sizeof file_36},
    {"/page/status.html", file_37, sizeof file_37},
    {"/page/status.js", file_38, sizeof file_38},
    {"/page/style.css", file_39, sizeof file_39},
    {"/page/swarm.css", file_40, sizeof file_40},
    {"/payload.js", file_41, sizeof file_41},
    {"/receipts.js", file_42, sizeof file_42},
    {"/requests.js", file_43, sizeof file_43},
    {"/sealing/derivation.js", file_44, sizeof file_44},
    {"/sealing/envelope.js", file_45, sizeof file_45},
    {"/sealing/hpke.js", file_46, sizeof file_46},
    {"/sealing/keys.js", file_47, sizeof file_47},
    {"/sealing/mail.js", file_48, sizeof file_48},
    {"/sealing/presence.js", file_49, sizeof file_49},
    {"/sealing/session-cipher.js", file_50, sizeof file_50},
    {"/sealing/signal.js", file_51, sizeof file_51},
    {"/sealing/topic.js", file_52, sizeof file_52},
    {"/session/byte-stream.js", file_53, sizeof file_53},
    {"/session/control.js", file_54, sizeof file_54},
    {"/session/due.js", file_55, sizeof file_55},
    {"/session/exchanges.js", file_56, sizeof file_56},
    {"/session/frame.js", file_57, sizeof file_57},
    {"/session/inbound.js", file_58, sizeof file_58},
    {"/session/lane.js", file_59, sizeof file_59},
    {"/session/lanes.js", file_60, sizeof file_60},
    {"/session/mail.js", file_61, sizeof file_61},
    {"/session/outbound.js", file_62, sizeof file_62},
    {"/session/path-state.js", file_63, sizeof file_63},
    {"/session/rate.js", file_64, sizeof file_64},
    {"/session/requests.js", file_65, sizeof file_65},
    {"/session/scheduler.js", file_66, sizeof file_66},
    {"/session/session.js", file_67, sizeof file_67},
    {"/signaling/connection.js", file_68, sizeof file_68},
    {"/signaling/negotiation.js", file_69, sizeof file_69},
    {"/storage/slot.js", file_70, sizeof file_70},
    {"/storage/store.js", file_71, sizeof file_71},
    {"/streams.js", file_72, sizeof file_72},
    {"/swarm-space.js", file_73, sizeof file_73},
    {"/tracker/client.js", file_74, sizeof file_74},
};

size_t web_file_count(void) { return sizeof files / sizeof files[0]; }

const struct web_file *web_file_at(size_t index) { return &files[index]; }
