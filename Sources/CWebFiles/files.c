// Written by scripts/embed-web. The content comes from Web/ at compile time (#embed of C23).
#pragma clang diagnostic ignored "-Wc23-extensions"

#include "CWebFiles.h"

static const uint8_t file_0[] = {
#embed "../../Web/base/bytes.js"
};
static const uint8_t file_1[] = {
#embed "../../Web/base/link.js"
};
static const uint8_t file_2[] = {
#embed "../../Web/base/mailbox.js"
};
static const uint8_t file_3[] = {
#embed "../../Web/graph.js"
};
static const uint8_t file_4[] = {
#embed "../../Web/gun/client.js"
};
static const uint8_t file_5[] = {
#embed "../../Web/gun/graph.js"
};
static const uint8_t file_6[] = {
#embed "../../Web/gun/hash.js"
};
static const uint8_t file_7[] = {
#embed "../../Web/gun/link-state.js"
};
static const uint8_t file_8[] = {
#embed "../../Web/gun/member-queue.js"
};
static const uint8_t file_9[] = {
#embed "../../Web/gun/outbox.js"
};
static const uint8_t file_10[] = {
#embed "../../Web/gun/user-space.js"
};
static const uint8_t file_11[] = {
#embed "../../Web/invite.js"
};
static const uint8_t file_12[] = {
#embed "../../Web/member/engine.js"
};
static const uint8_t file_13[] = {
#embed "../../Web/member/keeping.js"
};
static const uint8_t file_14[] = {
#embed "../../Web/member/mail.js"
};
static const uint8_t file_15[] = {
#embed "../../Web/member/member.js"
};
static const uint8_t file_16[] = {
#embed "../../Web/member/mesh.js"
};
static const uint8_t file_17[] = {
#embed "../../Web/member/neighbour.js"
};
static const uint8_t file_18[] = {
#embed "../../Web/member/prekeys.js"
};
static const uint8_t file_19[] = {
#embed "../../Web/member/presence.js"
};
static const uint8_t file_20[] = {
#embed "../../Web/member/relay-path.js"
};
static const uint8_t file_21[] = {
#embed "../../Web/member/signaling.js"
};
static const uint8_t file_22[] = {
#embed "../../Web/page/app.js"
};
static const uint8_t file_23[] = {
#embed "../../Web/page/chat.js"
};
static const uint8_t file_24[] = {
#embed "../../Web/page/elements.js"
};
static const uint8_t file_25[] = {
#embed "../../Web/page/history.js"
};
static const uint8_t file_26[] = {
#embed "../../Web/page/icon.svg"
};
static const uint8_t file_27[] = {
#embed "../../Web/page/index.html"
};
static const uint8_t file_28[] = {
#embed "../../Web/page/map.js"
};
static const uint8_t file_29[] = {
#embed "../../Web/page/panels.js"
};
static const uint8_t file_30[] = {
#embed "../../Web/page/status.css"
};
static const uint8_t file_31[] = {
#embed "../../Web/page/status.html"
};
static const uint8_t file_32[] = {
#embed "../../Web/page/status.js"
};
static const uint8_t file_33[] = {
#embed "../../Web/page/style.css"
};
static const uint8_t file_34[] = {
#embed "../../Web/page/swarm.css"
};
static const uint8_t file_35[] = {
#embed "../../Web/sealing/derivation.js"
};
static const uint8_t file_36[] = {
#embed "../../Web/sealing/envelope.js"
};
static const uint8_t file_37[] = {
#embed "../../Web/sealing/hpke.js"
};
static const uint8_t file_38[] = {
#embed "../../Web/sealing/keys.js"
};
static const uint8_t file_39[] = {
#embed "../../Web/sealing/mail.js"
};
static const uint8_t file_40[] = {
#embed "../../Web/sealing/presence.js"
};
static const uint8_t file_41[] = {
#embed "../../Web/sealing/session-cipher.js"
};
static const uint8_t file_42[] = {
#embed "../../Web/sealing/signal.js"
};
static const uint8_t file_43[] = {
#embed "../../Web/sealing/topic.js"
};
static const uint8_t file_44[] = {
#embed "../../Web/session/frame.js"
};
static const uint8_t file_45[] = {
#embed "../../Web/session/inbound.js"
};
static const uint8_t file_46[] = {
#embed "../../Web/session/outbound.js"
};
static const uint8_t file_47[] = {
#embed "../../Web/session/path-state.js"
};
static const uint8_t file_48[] = {
#embed "../../Web/session/session.js"
};
static const uint8_t file_49[] = {
#embed "../../Web/signaling/connection.js"
};
static const uint8_t file_50[] = {
#embed "../../Web/signaling/negotiation.js"
};
static const uint8_t file_51[] = {
#embed "../../Web/storage/slot.js"
};
static const uint8_t file_52[] = {
#embed "../../Web/storage/store.js"
};
static const uint8_t file_53[] = {
#embed "../../Web/swarm-space.js"
};
static const uint8_t file_54[] = {
#embed "../../Web/tracker/client.js"
};

static const struct web_file files[] = {
    {"/base/bytes.js", file_0, sizeof file_0},
    {"/base/link.js", file_1, sizeof file_1},
    {"/base/mailbox.js", file_2, sizeof file_2},
    {"/graph.js", file_3, sizeof file_3},
    {"/gun/client.js", file_4, sizeof file_4},
    {"/gun/graph.js", file_5, sizeof file_5},
    {"/gun/hash.js", file_6, sizeof file_6},
    {"/gun/link-state.js", file_7, sizeof file_7},
    {"/gun/member-queue.js", file_8, sizeof file_8},
    {"/gun/outbox.js", file_9, sizeof file_9},
    {"/gun/user-space.js", file_10, sizeof file_10},
    {"/invite.js", file_11, sizeof file_11},
    {"/member/engine.js", file_12, sizeof file_12},
    {"/member/keeping.js", file_13, sizeof file_13},
    {"/member/mail.js", file_14, sizeof file_14},
    {"/member/member.js", file_15, sizeof file_15},
    {"/member/mesh.js", file_16, sizeof file_16},
    {"/member/neighbour.js", file_17, sizeof file_17},
    {"/member/prekeys.js", file_18, sizeof file_18},
    {"/member/presence.js", file_19, sizeof file_19},
    {"/member/relay-path.js", file_20, sizeof file_20},
    {"/member/signaling.js", file_21, sizeof file_21},
    {"/page/app.js", file_22, sizeof file_22},
    {"/page/chat.js", file_23, sizeof file_23},
    {"/page/elements.js", file_24, sizeof file_24},
    {"/page/history.js", file_25, sizeof file_25},
    {"/page/icon.svg", file_26, sizeof file_26},
    {"/page/index.html", file_27, sizeof file_27},
    {"/page/map.js", file_28, sizeof file_28},
    {"/page/panels.js", file_29, sizeof file_29},
    {"/page/status.css", file_30, sizeof file_30},
    {"/page/status.html", file_31, sizeof file_31},
    {"/page/status.js", file_32, sizeof file_32},
    {"/page/style.css", file_33, sizeof file_33},
    {"/page/swarm.css", file_34, sizeof file_34},
    {"/sealing/derivation.js", file_35, sizeof file_35},
    {"/sealing/envelope.js", file_36, sizeof file_36},
    {"/sealing/hpke.js", file_37, sizeof file_37},
    {"/sealing/keys.js", file_38, sizeof file_38},
    {"/sealing/mail.js", file_39, sizeof file_39},
    {"/sealing/presence.js", file_40, sizeof file_40},
    {"/sealing/session-cipher.js", file_41, sizeof file_41},
    {"/sealing/signal.js", file_42, sizeof file_42},
    {"/sealing/topic.js", file_43, sizeof file_43},
    {"/session/frame.js", file_44, sizeof file_44},
    {"/session/inbound.js", file_45, sizeof file_45},
    {"/session/outbound.js", file_46, sizeof file_46},
    {"/session/path-state.js", file_47, sizeof file_47},
    {"/session/session.js", file_48, sizeof file_48},
    {"/signaling/connection.js", file_49, sizeof file_49},
    {"/signaling/negotiation.js", file_50, sizeof file_50},
    {"/storage/slot.js", file_51, sizeof file_51},
    {"/storage/store.js", file_52, sizeof file_52},
    {"/swarm-space.js", file_53, sizeof file_53},
    {"/tracker/client.js", file_54, sizeof file_54},
};

size_t web_file_count(void) { return sizeof files / sizeof files[0]; }

const struct web_file *web_file_at(size_t index) { return &files[index]; }
